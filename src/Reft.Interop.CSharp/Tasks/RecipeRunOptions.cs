namespace Reft;

/// <summary>What a run of a recipe reads and writes, and how much of it is done.</summary>
public sealed record RecipeRunOptions
{
    /// <summary>The folder of the data, laid out as the projects or pyreft's script have it: see <see cref="TaskFile.Names"/>.</summary>
    public required string Data { get; init; }

    /// <summary>
    /// The folder of adapters, answers and results. What is finished there is not run again; a run that was broken off goes
    /// on.
    /// </summary>
    public required string Output { get; init; }

    /// <summary>The seeds; the recipe's where it is not given.</summary>
    public IReadOnlyList<long>? Seeds { get; init; }

    /// <summary>The data sets that are evaluated; all of the task where it is not given.</summary>
    public IReadOnlyList<string>? Datasets { get; init; }

    /// <summary>So many rows at most, drawn by the seed, are trained on.</summary>
    public int? MaxTrain { get; init; }

    /// <summary>So many rows of each data set at most, drawn by the seed, are evaluated.</summary>
    public int? MaxEvaluation { get; init; }

    /// <summary>Steps between checkpoints of training.</summary>
    public int CheckpointEvery { get; init; } = 100;
}

/// <summary>Where a run of a recipe stands.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Dataset">The data set that is evaluated; null in training.</param>
/// <param name="Training">The step that was taken; null in an evaluation.</param>
/// <param name="Done">Rows that were evaluated.</param>
/// <param name="Total">Rows of the data set.</param>
/// <param name="IsFromEarlierRun">Whether it was finished by an earlier run.</param>
public sealed record RecipeProgress(
    long Seed, string? Dataset, TrainingProgress? Training, int Done, int Total, bool IsFromEarlierRun);

/// <summary>The files that a recipe reads.</summary>
/// <param name="Training">What is trained on.</param>
/// <param name="Tests">What is evaluated, by data set, in the order of the paper's tables.</param>
public sealed record RecipeFileSet(string Training, IReadOnlyList<KeyValuePair<string, string>> Tests);
