using System.Globalization;
using Reft.Internal;

namespace Reft;

/// <summary>An axis of parallel coordinates.</summary>
/// <param name="Name">What it shows.</param>
/// <param name="Ticks">Its values and where they stand, 0 … 1.</param>
public sealed record SweepPlotAxis(string Name, IReadOnlyList<(string Label, double Place)> Ticks);

/// <summary>A candidate in parallel coordinates.</summary>
/// <param name="Result">Its last run.</param>
/// <param name="Places">Where it crosses each axis, 0 … 1.</param>
/// <param name="Quality">1 for the best of those that got furthest, falling to 0 with the rank.</param>
public sealed record SweepPlotLine(SweepTrialResult Result, IReadOnlyList<double> Places, double Quality);

/// <summary>
/// A sweep in parallel coordinates, ready to be drawn: one axis for each setting and one for the metric, and a line across them
/// for each candidate that did not fail. Numbers that span orders of magnitude stand on a logarithmic axis.
/// </summary>
public sealed record SweepPlot
{
    private const double WideRange = 20;
    private const double LeastDistance = 0.05;

    /// <summary>The axes, the metric's last.</summary>
    public required IReadOnlyList<SweepPlotAxis> Axes { get; init; }

    /// <summary>The lines, the best last, so that it is drawn on top.</summary>
    public required IReadOnlyList<SweepPlotLine> Lines { get; init; }

    /// <summary>Lays out a sweep.</summary>
    /// <param name="result">The sweep.</param>
    /// <param name="metric">What the last axis is called.</param>
    public static SweepPlot Of(SweepResult result, string metric)
    {
        SweepTrialResult[] ranking = [.. result.Ranking.Where(run => double.IsFinite(run.Value))];
        var settings = result.Axes.Select(name => (Name: name, Place: Placing([.. ranking.Select(run => run.Trial.Settings[name]).Distinct()]))).ToArray();
        var values = Scale.Of(ranking.Select(run => run.Value));
        return new SweepPlot
        {
            Axes =
            [
                .. settings.Select(setting => new SweepPlotAxis(setting.Name, Ticks(
                    [.. ranking.Select(run => run.Trial.Settings[setting.Name]).Distinct().Select(value => (value, setting.Place(value)))]))),
                new SweepPlotAxis(metric, [.. values.Ticks().Select(tick => (Markup.Number(tick), values.Part(tick)))]),
            ],
            Lines =
            [
                .. ranking.Select((run, rank) => new SweepPlotLine(
                    run,
                    [.. settings.Select(setting => setting.Place(run.Trial.Settings[setting.Name])), values.Part(run.Value)],
                    ranking.Length == 1 ? 1 : 1 - (rank / (ranking.Length - 1.0)))).Reverse(),
            ],
        };
    }

    // Where a value stands: numbers by their size, other values one after another.
    private static Func<string, double> Placing(string[] values)
    {
        var numbers = values.Select(Number).OfType<double>().ToArray();
        if (numbers.Length < values.Length || values.Length < 2)
        {
            return value => values.Length < 2 ? 0.5 : Array.IndexOf([.. values.Order(StringComparer.Ordinal)], value) / (values.Length - 1.0);
        }

        var scale = new Scale(numbers.Min(), numbers.Max());
        scale = scale with { IsLogarithmic = scale.Low > 0 && scale.High / scale.Low >= WideRange };
        return value => scale.High > scale.Low ? scale.Part(Number(value)!.Value) : 0.5;
    }

    private static double? Number(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null;

    private static IReadOnlyList<(string Label, double Place)> Ticks((string Label, double Place)[] ticks)
    {
        // Labels that would be written over each other are left out.
        var shown = new List<(string Label, double Place)>();
        foreach (var tick in ticks.OrderBy(tick => tick.Place))
        {
            if (shown.Count == 0 || tick.Place - shown[^1].Place >= LeastDistance)
            {
                shown.Add(tick);
            }
        }

        return shown;
    }
}
