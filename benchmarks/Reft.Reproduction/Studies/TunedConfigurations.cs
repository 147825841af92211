namespace Reft.Reproduction;

/// <summary>
/// The plan of configurations that all have the same budget: with the first seed each of the learning rates, then the other
/// seeds with the rate that was best on the development rows.
/// </summary>
/// <param name="Rates">The learning rates, as keys have them.</param>
/// <param name="Seeds">How many seeds.</param>
/// <param name="Metric">The number of a run by which the rate is chosen.</param>
/// <param name="HigherIsBetter">Whether more of it is better.</param>
internal sealed record TunedConfigurations(IReadOnlyList<string> Rates, int Seeds, string Metric, bool HigherIsBetter)
{
    /// <summary>The seed with which all rates are tried.</summary>
    public const long FirstSeed = 1;

    /// <summary>A number of a run of which less decides between equal ones; of the first of the rates where there is none.</summary>
    public string? Tie { get; init; }

    /// <summary>The runs of a configuration that are wanted now.</summary>
    /// <param name="context">What is finished.</param>
    /// <param name="keyOf">The key of a run from its learning rate and its seed.</param>
    /// <param name="priority">Of the first seed; later ones come later.</param>
    public IEnumerable<PlannedRun> Plan(StudyContext context, Func<string, long, RunKey> keyOf, int priority) =>
    [
        .. Rates.Select(rate => new PlannedRun(keyOf(rate, FirstSeed), priority)),
        .. Best(context, keyOf) is { } best
            ? Enumerable.Range(2, Seeds - 1).Select(seed => new PlannedRun(keyOf(best, seed), priority + seed - 1))
            : [],
    ];

    /// <summary>The rates, and their runs where they are finished.</summary>
    public IReadOnlyList<(string Rate, FinishedRun? Run)> Tried(StudyContext context, Func<string, long, RunKey> keyOf) =>
        [.. Rates.Select(rate => (rate, context.Find(keyOf(rate, FirstSeed))))];

    /// <summary>The rate that did best; null until all are tried. One that diverged is worse than any other.</summary>
    public string? Best(StudyContext context, Func<string, long, RunKey> keyOf)
    {
        var tried = Tried(context, keyOf);
        return tried.Any(entry => entry.Run is null)
            ? null
            : tried.OrderByDescending(entry => Goodness(entry.Run!)).ThenBy(entry => Tie is null ? 0 : entry.Run![Tie]).First().Rate;
    }

    /// <summary>The finished runs at the chosen rate, by seed; empty until all rates are tried.</summary>
    public IReadOnlyList<FinishedRun> Chosen(StudyContext context, Func<string, long, RunKey> keyOf) =>
        Best(context, keyOf) is { } best ? Reported(context, best, keyOf) : [];

    /// <summary>A rate, with a star where it is at an end of the grid: one beyond it might have done better.</summary>
    public string Shown(string rate) => Rates.Count > 1 && (rate == Rates[0] || rate == Rates[^1]) ? rate + "*" : rate;

    /// <summary>The finished runs at a rate, by seed.</summary>
    public IReadOnlyList<FinishedRun> Reported(StudyContext context, string rate, Func<string, long, RunKey> keyOf) =>
        [.. Enumerable.Range(1, Seeds).Select(seed => context.Find(keyOf(rate, seed))).OfType<FinishedRun>().Where(run => !run.Diverged)];

    private double Goodness(FinishedRun run) =>
        run[Metric] is var value && !double.IsFinite(value) ? double.NegativeInfinity : HigherIsBetter ? value : -value;
}
