using ScottPlot;

namespace Reft.Cli;

/// <summary>A sweep in parallel coordinates as a PNG.</summary>
internal static class SweepPicture
{
    private const int Width = 1000;
    private const int Height = 480;

    public static void Save(string path, SweepPlot sweep)
    {
        using var plot = new Plot();
        double[] axes = [.. Enumerable.Range(0, sweep.Axes.Count).Select(i => (double)i)];
        foreach (var line in sweep.Lines)
        {
            var drawn = plot.Add.Scatter(axes, line.Places.ToArray());
            drawn.MarkerSize = 0;
            drawn.LineWidth = line.Quality == 1 ? 3 : 1.5f;
            drawn.Color = (line.Quality == 1 ? Colors.Orange : Colors.Blue).WithOpacity(0.15 + (0.85 * line.Quality));
        }

        foreach (var (i, axis) in sweep.Axes.Index())
        {
            plot.Add.VerticalLine(i, 1, Colors.Black);
            foreach (var (label, place) in axis.Ticks)
            {
                var text = plot.Add.Text(label, i, place);
                text.OffsetX = 4;
                text.LabelAlignment = Alignment.MiddleLeft;
            }
        }

        plot.Axes.Bottom.SetTicks(axes, [.. sweep.Axes.Select(axis => axis.Name)]);
        plot.Axes.Left.SetTicks([], []);
        plot.HideGrid();
        plot.Axes.SetLimits(-0.2, axes.Length - 0.4, -0.06, 1.06);
        plot.SavePng(path, Width, Height);
    }
}
