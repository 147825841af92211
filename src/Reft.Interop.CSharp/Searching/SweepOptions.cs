namespace Reft;

/// <summary>
/// A search by successive halving (arXiv 1502.07943): every candidate gets a small budget, the best 1/<see cref="Eta"/> of them
/// <see cref="Eta"/> times as much, and so on, until the last few get the largest.
/// </summary>
public sealed record SweepOptions
{
    /// <summary>The settings and what they may be.</summary>
    public required IReadOnlyList<SweepAxis> Axes { get; init; }

    /// <summary>How many candidates are drawn at random; null takes every combination, a grid.</summary>
    public int? Candidates { get; init; }

    /// <summary>The factor between budgets, and the part of the candidates that does not go on: 2 or more.</summary>
    public int Eta { get; init; } = 3;

    /// <summary>The budget of the first rung, in whatever the runs count: steps, epochs, rows.</summary>
    public required int MinBudget { get; init; }

    /// <summary>The budget of the last one.</summary>
    public required int MaxBudget { get; init; }

    /// <summary>Whether greater values are better, as of an accuracy; a loss is better the smaller it is.</summary>
    public bool HigherIsBetter { get; init; }

    /// <summary>The seed by which candidates are drawn.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>
    /// A folder that keeps each run's result in a file of its own, so that a search that was broken off goes on: finished runs
    /// are not repeated. Null keeps nothing.
    /// </summary>
    public string? Folder { get; init; }

    /// <summary>
    /// What else decides the results, by name, e.g. the model and the data: a folder of a search with others is refused.
    /// </summary>
    public IReadOnlyDictionary<string, string> Fixed { get; init; } = new Dictionary<string, string>();
}

/// <summary>One run of a sweep.</summary>
/// <param name="Candidate">The number of the candidate, from 0.</param>
/// <param name="Rung">The number of the rung, from 0.</param>
/// <param name="Budget">What it may use up.</param>
/// <param name="Settings">The candidate's value of each axis.</param>
public sealed record SweepTrial(int Candidate, int Rung, int Budget, IReadOnlyDictionary<string, string> Settings);

/// <summary>What one run of a sweep gave.</summary>
/// <param name="Trial">The run.</param>
/// <param name="Value">The value of the metric; NaN where the run failed.</param>
/// <param name="Duration">How long it took.</param>
/// <param name="Problem">Why it failed; null where it did not.</param>
public sealed record SweepTrialResult(SweepTrial Trial, double Value, TimeSpan Duration, string? Problem = null);

/// <summary>What a sweep found.</summary>
public sealed record SweepResult
{
    /// <summary>The settings, in order.</summary>
    public required IReadOnlyList<string> Axes { get; init; }

    /// <summary>Every run, in order: a candidate has one on each rung that it reached.</summary>
    public required IReadOnlyList<SweepTrialResult> Results { get; init; }

    /// <summary>Whether greater values are better.</summary>
    public required bool HigherIsBetter { get; init; }

    /// <summary>The best run of the last rung; null where all of it failed.</summary>
    public SweepTrialResult? Best { get; init; }

    /// <summary>
    /// Each candidate's last run, the best first: those of a higher rung before those of a lower one, then by value.
    /// </summary>
    public IReadOnlyList<SweepTrialResult> Ranking =>
        [.. Results
            .GroupBy(result => result.Trial.Candidate)
            .Select(runs => runs.MaxBy(run => run.Trial.Rung)!)
            .OrderByDescending(run => run.Trial.Rung)
            .ThenBy(run => double.IsNaN(run.Value))
            .ThenBy(run => HigherIsBetter ? -run.Value : run.Value)
            .ThenBy(run => run.Trial.Candidate)];
}
