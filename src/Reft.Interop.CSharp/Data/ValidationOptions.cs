namespace Reft;

/// <summary>What rows are held against.</summary>
public sealed record ValidationOptions
{
    /// <summary>What the rows are for, where they are not labelled.</summary>
    public RowUse Use { get; init; } = RowUse.Train;

    /// <summary>What is to be predicted of rows that are labelled; null where they are prompts and completions.</summary>
    public ClassifierProblem? Problem { get; init; }

    /// <summary>The labels that rows may have; any where they are not given.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>
    /// The folder of the model that is to read them, for its tokenizer, vocabulary and context: its weights are not read.
    /// Without it only the form of rows is checked.
    /// </summary>
    public string? ModelFolder { get; init; }

    /// <summary>Longer rows are cut to this many tokens; the model's context where it is not given.</summary>
    public int? MaxLength { get; init; }

    /// <summary>How many bad rows are told of; all are counted.</summary>
    public int ProblemLimit { get; init; } = 100;
}
