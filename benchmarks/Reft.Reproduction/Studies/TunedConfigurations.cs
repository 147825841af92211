using System.Globalization;

namespace Reft.Reproduction;

/// <summary>
/// The plan of configurations that all have the same budget: with the first seed each of the learning rates, then the other
/// seeds with the rate that was best on the development rows.
/// </summary>
/// <param name="Rates">The learning rates.</param>
/// <param name="Seeds">How many seeds.</param>
/// <param name="Metric">The number of a run by which the rate is chosen.</param>
/// <param name="HigherIsBetter">Whether more of it is better.</param>
internal sealed record TunedConfigurations(IReadOnlyList<double> Rates, int Seeds, string Metric, bool HigherIsBetter)
{
    /// <summary>The runs of a configuration that are wanted now.</summary>
    /// <param name="context">What is finished.</param>
    /// <param name="keyOf">The key of a run from its learning rate and its seed.</param>
    /// <param name="priority">Of the first seed; later ones come later.</param>
    public IEnumerable<PlannedRun> Plan(StudyContext context, Func<string, long, RunKey> keyOf, int priority)
    {
        foreach (var rate in Rates)
        {
            yield return new PlannedRun(keyOf(Shown(rate), 1), priority);
        }

        if (Best(context, keyOf) is { } best)
        {
            for (long seed = 2; seed <= Seeds; seed++)
            {
                yield return new PlannedRun(keyOf(best, seed), priority + (int)seed - 1);
            }
        }
    }

    /// <summary>The finished runs at the chosen rate; empty until all rates are tried.</summary>
    public IReadOnlyList<FinishedRun> Chosen(StudyContext context, Func<string, long, RunKey> keyOf) =>
        Best(context, keyOf) is { } best
            ? [.. Enumerable.Range(1, Seeds).Select(seed => context.Find(keyOf(best, seed))).OfType<FinishedRun>().Where(run => !run.Diverged)]
            : [];

    private string? Best(StudyContext context, Func<string, long, RunKey> keyOf)
    {
        var tried = Rates.Select(rate => (Rate: Shown(rate), Run: context.Find(keyOf(Shown(rate), 1)))).ToList();
        return tried.Any(entry => entry.Run is null)
            ? null
            : tried.MaxBy(entry => entry.Run![Metric] is var value && double.IsFinite(value) ? (HigherIsBetter ? value : -value) : double.NegativeInfinity).Rate;
    }

    private static string Shown(double rate) => rate.ToString("0.######", CultureInfo.InvariantCulture);
}
