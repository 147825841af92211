using ScottPlot;

namespace Reft.Reproduction;

/// <summary>Accuracy against trainable parameters: a panel for each task, a point for each method, bars of one deviation.</summary>
internal static class MethodsPicture
{
    private const int Width = 480;
    private const int Height = 420;

    public static void Draw(
        ReportPage page,
        string name,
        IReadOnlyList<string> tasks,
        IReadOnlyList<ComparedMethod> methods,
        Func<string, string, MethodCell> cellOf)
    {
        string[] shown = [.. tasks.Where(task => methods.Any(method => !cellOf(task, method.Name).IsEmpty))];
        if (shown.Length == 0)
        {
            return;
        }

        var picture = new Multiplot();
        picture.AddPlots(shown.Length);
        picture.Layout = new ScottPlot.MultiplotLayouts.Grid(1, shown.Length);
        foreach (var (number, task) in shown.Index())
        {
            Panel(picture.GetPlot(number), task, methods, cellOf);
        }

        page.Picture(name, picture, Width * shown.Length, Height);
    }

    private static void Panel(Plot plot, string task, IReadOnlyList<ComparedMethod> methods, Func<string, string, MethodCell> cellOf)
    {
        var labels = new List<(ScottPlot.Plottables.Text Label, double X, double Y)>();
        var (low, high) = (100.0, 0.0);
        foreach (var method in methods)
        {
            var cell = cellOf(task, method.Name);
            if (cell.IsEmpty)
            {
                continue;
            }

            var score = cell.Of("test_accuracy");
            var y = 100 * score.Mean;
            if (cell.Runs[0]["parameters"] is not (> 0 and var parameters))
            {
                // No place on a logarithmic axis.
                plot.Add.HorizontalLine(y, pattern: LinePattern.Dashed, color: Colors.Gray);
                var name = plot.Add.Text(method.Title, 5.1, y);
                name.LabelFontColor = Colors.Gray;
                name.LabelFontSize = 12;
                name.OffsetY = -16;
                continue;
            }

            var x = Math.Log10(parameters);
            var point = plot.Add.Marker(x, y, size: 9);
            var bar = plot.Add.ErrorBar([x], [y], [100 * (score.Deviation ?? 0)]);
            bar.Color = point.Color;
            var label = plot.Add.Text(method.Title, x, y);
            label.LabelFontSize = 12;
            label.OffsetX = 6;
            label.OffsetY = -8;
            labels.Add((label, x, y));
            (low, high) = (Math.Min(low, y - (100 * (score.Deviation ?? 0))), Math.Max(high, y + (100 * (score.Deviation ?? 0))));
        }

        // About how many pixels a point of accuracy has: margins and titles take the rest.
        Spread(labels, 0.65 * Height / Math.Max(1, high - low));

        plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericAutomatic
        {
            IntegerTicksOnly = true,
            LabelFormatter = power => $"1e{power:0}",
        };
        plot.Axes.Margins(0, 0.1);
        plot.Axes.SetLimitsX(2.8, 7.4);
        plot.Title(task);
        plot.XLabel("trainable parameters, head apart");
        plot.YLabel("accuracy on the test split, %");
    }

    // Labels that would lie on each other are moved up, the lowest staying where it is.
    private static void Spread(List<(ScottPlot.Plottables.Text Label, double X, double Y)> labels, double scale)
    {
        // A letter's width in powers of ten, and a line's height in pixels.
        const double Letter = 0.07, Gap = 12;
        var placed = new List<(double X, double Until, double At)>();
        foreach (var (label, x, y) in labels.OrderBy(label => label.Y))
        {
            var (at, until) = (y * scale, x + (Letter * label.LabelText.Length));
            foreach (var other in placed.Where(other => other.X < until && x < other.Until).OrderBy(other => other.At))
            {
                at = Math.Abs(other.At - at) < Gap ? other.At + Gap : at;
            }

            placed.Add((x, until, at));
            label.OffsetY -= (float)(at - (y * scale));
        }
    }
}
