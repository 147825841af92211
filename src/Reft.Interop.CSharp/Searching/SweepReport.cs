using System.Globalization;
using System.Xml.Linq;
using Reft.Internal;
using static Reft.Internal.Markup;

namespace Reft;

/// <summary>A sweep as a page: parallel coordinates and a table. One file that loads nothing from elsewhere and runs no script.</summary>
public static class SweepReport
{
    private const int Width = 900;
    private const int Height = 380;
    private const int Side = 90;
    private const int Top = 40;
    private const int Bottom = 20;

    /// <summary>Writes the page, in the place of an older one.</summary>
    /// <param name="path">The file; its folder is made if need be.</param>
    /// <param name="result">The sweep.</param>
    /// <param name="metric">What was measured.</param>
    /// <param name="budget">What the budgets count, e.g. <c>steps</c>.</param>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: an older file is intact.</exception>
    public static void WriteHtml(string path, SweepResult result, string metric = "loss", string budget = "budget") =>
        Save(path, ToHtml(result, metric, budget));

    /// <summary>The page as text. It is well-formed XML after its first line.</summary>
    public static string ToHtml(SweepResult result, string metric = "loss", string budget = "budget") =>
        Page(
            "Sweep",
            result.Best is { } best
                ? Text("p", $"Best {metric} {Number(best.Value)}: {string.Join(", ", best.Trial.Settings.Select(setting => $"{setting.Key} {setting.Value}"))}.")
                : Text("p", "Every run of the last rung failed."),
            Picture(SweepPlot.Of(result, metric), metric),
            Text("h2", "Candidates, each with its last run"),
            Table(
                ["", .. result.Axes, metric, budget, "seconds", "problem"],
                result.Ranking.Select((run, i) => (string[])
                [
                    (i + 1).ToString(CultureInfo.InvariantCulture),
                    .. result.Axes.Select(axis => run.Trial.Settings[axis]),
                    Number(run.Value),
                    run.Trial.Budget.ToString(CultureInfo.InvariantCulture),
                    run.Duration.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture),
                    run.Problem ?? "",
                ])));

    private static XElement? Picture(SweepPlot plot, string metric)
    {
        if (plot.Lines.Count == 0)
        {
            return null;
        }

        return Figure(
            null,
            Width,
            Height,
            $"Parallel coordinates of {plot.Lines.Count} candidates; the table below has the same numbers",
            [
                plot.Lines.Select(Drawn),
                plot.Axes.Select((axis, i) => new XElement(
                    "g",
                    Text("text", axis.Name, new XAttribute("x", Place(X(i))), new XAttribute("y", 16), new XAttribute("text-anchor", "middle"), new XAttribute("font-weight", "bold")),
                    new XElement("line", new XAttribute("class", "axis"), new XAttribute("x1", Place(X(i))), new XAttribute("x2", Place(X(i))), new XAttribute("y1", Top), new XAttribute("y2", Height - Bottom)),
                    axis.Ticks.Select(tick => Text("text", tick.Label, new XAttribute("x", Place(X(i) + 5)), new XAttribute("y", Place(Y(tick.Place) + 4)))))),
            ],
            Text("p", $"A line is a candidate; the bolder, the better its {metric}. Candidates that got a larger budget come before others."));

        double X(int axis) => Side + (axis * (Width - (2 * Side)) / Math.Max(1.0, plot.Axes.Count - 1));

        static double Y(double place) => Height - Bottom - (place * (Height - Top - Bottom));

        XElement Drawn(SweepPlotLine line) => new(
            "polyline",
            new XAttribute("fill", "none"),
            new XAttribute("stroke", line.Quality == 1 ? "#e8710a" : "#3b82f6"),
            new XAttribute("stroke-width", line.Quality == 1 ? "3" : "1.5"),
            new XAttribute("stroke-opacity", Place(0.15 + (0.85 * line.Quality))),
            new XAttribute("points", string.Join(' ', line.Places.Select((place, i) => $"{Place(X(i))},{Place(Y(place))}"))),
            Text("title", string.Join(", ", line.Result.Trial.Settings.Select(setting => $"{setting.Key} {setting.Value}")) + $": {Number(line.Result.Value)}"));
    }
}
