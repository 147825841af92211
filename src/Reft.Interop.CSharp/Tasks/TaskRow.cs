namespace Reft;

/// <summary>One example of an <see cref="EvaluationTask"/>.</summary>
public sealed record TaskRow
{
    /// <summary>The instruction or question as the file has it.</summary>
    public required string Instruction { get; init; }

    /// <summary>What the model is given.</summary>
    public required string Prompt { get; init; }

    /// <summary>What it is to write after it; null in rows that are only evaluated.</summary>
    public string? Completion { get; init; }

    /// <summary>The answer that is right; null where a judge decides, as in AlpacaEval.</summary>
    public string? Answer { get; init; }

    /// <summary>Where the row comes from, for messages: <c>test.json: row 12</c>.</summary>
    public string? Source { get; init; }

    /// <summary>The row for training.</summary>
    public DataRow ToDataRow() => new() { Prompt = Prompt, Completion = Completion, Source = Source };
}

/// <summary>What a model answered, and whether that is right.</summary>
/// <param name="Text">What it wrote, after the words that introduce an answer.</param>
/// <param name="Extracted">The answer found in it; empty where there is none.</param>
/// <param name="IsCorrect">Whether it is the right one; null where a judge decides.</param>
public sealed record TaskAnswer(string Text, string Extracted, bool? IsCorrect);

/// <summary>A file of a task, as its project publishes it.</summary>
/// <param name="Dataset">The data set's name, as the paper's tables have it in lower case.</param>
/// <param name="Names">Where it may be within the folder of the data; the first that is there is read.</param>
/// <param name="Publisher">The project that publishes it, and the file's name there.</param>
public sealed record TaskFile(string Dataset, IReadOnlyList<string> Names, string Publisher)
{
    /// <summary>The file within a folder; null where there is none.</summary>
    public string? Find(string folder) =>
        Names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    /// <summary>One line.</summary>
    public override string ToString() => $"{Dataset}: {string.Join(" or ", Names)} ({Publisher})";
}
