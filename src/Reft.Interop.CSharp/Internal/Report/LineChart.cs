using System.Xml.Linq;
using static Reft.Internal.Markup;

namespace Reft.Internal;

/// <summary>A curve.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Points">Its points; those that are not finite leave gaps.</param>
/// <param name="HasDots">Whether each point is marked.</param>
internal sealed record Curve(string Name, IReadOnlyList<(double X, double Y)> Points, bool HasDots = false);

/// <summary>Curves over steps, as SVG within a page.</summary>
internal static class LineChart
{
    private const int Width = 800;
    private const int Height = 300;
    private const int Left = 70;
    private const int Right = 15;
    private const int Top = 10;
    private const int Bottom = 40;
    private const int MostPoints = 800;

    /// <summary>The picture with its legend and its numbers; nothing where there are no points.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="xName">What its x-axis counts.</param>
    /// <param name="curves">Its curves.</param>
    /// <param name="fromZero">Whether its y-axis begins at 0.</param>
    public static XElement? Draw(string title, string xName, IReadOnlyList<Curve> curves, bool fromZero = false)
    {
        var shown = curves
            .Select(curve => curve with { Points = Thinned([.. curve.Points.Where(point => double.IsFinite(point.X))]) })
            .Where(curve => curve.Points.Any(point => double.IsFinite(point.Y)))
            .ToArray();
        if (shown.Length == 0)
        {
            return null;
        }

        var x = Scale.Of(shown.SelectMany(curve => curve.Points.Select(point => point.X)));
        var y = Scale.Of(shown.SelectMany(curve => curve.Points.Select(point => point.Y)), fromZero);
        var last = string.Join(", ", shown.Select(curve => $"{curve.Name} ends at {Number(curve.Points.Last(point => double.IsFinite(point.Y)).Y)}"));
        return Figure(
            title,
            Width,
            Height,
            $"{title}: {last}",
            [
                y.Ticks().Select(tick => Tick(Left, Y(tick), Width - Right, Y(tick), Left - 8, Y(tick) + 4, "end", tick)),
                x.Ticks(8).Select(tick => Tick(X(tick), Height - Bottom, X(tick), Height - Bottom + 5, X(tick), Height - Bottom + 18, "middle", tick)),
                Axis(Left, Height - Bottom, Width - Right, Height - Bottom),
                Axis(Left, Top, Left, Height - Bottom),
                Text("text", xName, new XAttribute("x", Place((Left + Width - Right) / 2.0)), new XAttribute("y", Height - 6), new XAttribute("text-anchor", "middle")),
                shown.Select((curve, i) => Drawn(curve, Colour(i, shown.Length))),
            ],
            Legend([.. shown.Select((curve, i) => (curve.Name, Colour(i, shown.Length)))]));

        double X(double value) => Left + (x.Part(value) * (Width - Left - Right));

        double Y(double value) => Height - Bottom - (y.Part(value) * (Height - Top - Bottom));

        XElement Drawn(Curve curve, string colour) => new(
            "g",
            new XAttribute("fill", "none"),
            new XAttribute("stroke", colour),
            new XAttribute("stroke-width", 1.6),
            Text("title", curve.Name),
            Runs(curve.Points).Select(run => new XElement(
                "polyline", new XAttribute("points", string.Join(' ', run.Select(point => $"{Place(X(point.X))},{Place(Y(point.Y))}"))))),
            curve.HasDots || curve.Points.Count < 3
                ? curve.Points.Where(point => double.IsFinite(point.Y)).Select(point => new XElement(
                    "circle",
                    new XAttribute("cx", Place(X(point.X))),
                    new XAttribute("cy", Place(Y(point.Y))),
                    new XAttribute("r", 3),
                    new XAttribute("fill", colour)))
                : null);
    }

    /// <summary>A colour that stands out on light and on dark.</summary>
    public static string Colour(int index, int count) =>
        count <= 4
            ? new[] { "#3b82f6", "#e8710a", "#16a34a", "#c026d3" }[index]
            : $"hsl({240 - (240 * index / (count - 1))} 70% 50%)";

    /// <summary>Which colour is what.</summary>
    public static XElement Legend(IReadOnlyList<(string Name, string Colour)> entries) =>
        new(
            "ul",
            new XAttribute("class", "legend"),
            entries.Select(entry => new XElement(
                "li",
                Text("span", "", new XAttribute("class", "swatch"), new XAttribute("style", $"background:{entry.Colour}")),
                Plain(entry.Name))));

    /// <summary>A line with a number beside it.</summary>
    private static XElement[] Tick(double x1, double y1, double x2, double y2, double textX, double textY, string anchor, double value) =>
    [
        Line("grid", x1, y1, x2, y2),
        Text("text", Number(value), new XAttribute("x", Place(textX)), new XAttribute("y", Place(textY)), new XAttribute("text-anchor", anchor)),
    ];

    private static XElement Axis(double x1, double y1, double x2, double y2) => Line("axis", x1, y1, x2, y2);

    private static XElement Line(string kind, double x1, double y1, double x2, double y2) =>
        new(
            "line",
            new XAttribute("class", kind),
            new XAttribute("x1", Place(x1)),
            new XAttribute("y1", Place(y1)),
            new XAttribute("x2", Place(x2)),
            new XAttribute("y2", Place(y2)));

    private static IEnumerable<List<(double X, double Y)>> Runs(IReadOnlyList<(double X, double Y)> points)
    {
        var run = new List<(double X, double Y)>();
        foreach (var point in points)
        {
            if (double.IsFinite(point.Y))
            {
                run.Add(point);
            }
            else if (run.Count > 0)
            {
                yield return run;
                run = [];
            }
        }

        if (run.Count > 0)
        {
            yield return run;
        }
    }

    // Of many points the smallest and the largest of each stretch, so that no peak is lost.
    private static IReadOnlyList<(double X, double Y)> Thinned(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count <= MostPoints)
        {
            return points;
        }

        var width = (points.Count + (MostPoints / 2) - 1) / (MostPoints / 2);
        return [.. points.Chunk(width).SelectMany(chunk =>
            new[] { chunk.MinBy(point => point.Y), chunk.MaxBy(point => point.Y) }.DistinctBy(point => point.X).OrderBy(point => point.X))];
    }
}
