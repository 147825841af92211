using ScottPlot;

namespace Reft.Cli;

/// <summary>The curves of a training run as a PNG.</summary>
internal static class TrainingPicture
{
    private const int Width = 900;
    private const int HeightOfOne = 320;

    public static void Save(string path, TrainingLog log)
    {
        var steps = log.Steps;
        (string Title, (string Name, (double X, double Y)[] Points)[] Curves)[] all =
        [
            ("loss", [("training", Of(step => step.Loss)), ("held out", Of(step => step.EvaluationLoss ?? double.NaN))]),
            .. steps.SelectMany(step => step.Evaluation.Keys).Where(metric => metric != "loss").Distinct().Take(8).Select(metric =>
                ($"held-out {metric}", new[] { (metric, Of(step => step.Evaluation.GetValueOrDefault(metric, double.NaN))) })),
            ("learning rate", [("learning rate", Of(step => step.LearningRate))]),
            ("gradient norm", [("gradient norm", Of(step => step.GradientNorm))]),
            ("‖Δ‖ / ‖h‖", [
                .. steps.SelectMany(step => step.EditNorms.Select(edit => edit.Site)).Distinct().Take(64).Select(site =>
                    (site, Of(step => step.EditNorms.Where(edit => edit.Site == site).Select(edit => edit.Ratio).DefaultIfEmpty(double.NaN).Average()))),
            ]),
        ];
        var shown = all.Where(plot => plot.Curves.Any(curve => curve.Points.Length > 0)).ToArray();
        if (shown.Length == 0)
        {
            throw new InvalidDataException("the run has no step yet, so there is no curve to draw");
        }

        var pictures = new Multiplot();
        pictures.AddPlots(shown.Length);
        foreach (var (i, (title, curves)) in shown.Index())
        {
            Draw(pictures.GetPlot(i), title, curves);
        }

        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        pictures.SavePng(path, Width, HeightOfOne * shown.Length);

        (double X, double Y)[] Of(Func<TrainingProgress, double> value) =>
            [.. steps.Select(step => ((double)step.Step, value(step))).Where(point => double.IsFinite(point.Item2))];
    }

    private static void Draw(Plot plot, string title, (string Name, (double X, double Y)[] Points)[] curves)
    {
        plot.Title(title);
        plot.XLabel("step");
        foreach (var (name, points) in curves.Where(curve => curve.Points.Length > 0))
        {
            var curve = plot.Add.Scatter(points.Select(point => point.X).ToArray(), points.Select(point => point.Y).ToArray());
            curve.LegendText = name;
            curve.LineWidth = 2;
            curve.MarkerSize = points.Length < 50 ? 6 : 0;
        }

        if (curves.Length > 1)
        {
            plot.ShowLegend(Edge.Right);
        }
        else
        {
            plot.HideLegend();
        }
    }
}
