using Reft;
using ScottPlot;

namespace Quickstart;

/// <summary>The loss of each step as a picture.</summary>
internal static class LossCurve
{
    public static void Save(string file, TrainingResult result)
    {
        using var plot = new Plot();
        Add(plot, "training", result.History.Select(step => (step.Step, step.Loss))).MarkerSize = 0;
        var evaluated = result.History.Where(step => step.EvaluationLoss is not null);
        Add(plot, "held out", evaluated.Select(step => (step.Step, step.EvaluationLoss!.Value))).MarkerSize = 9;
        plot.Axes.SetLimitsY(0, result.History.Max(step => step.Loss) * 1.05);
        plot.Title("LoReFT on the topic task");
        plot.XLabel("step");
        plot.YLabel("loss per token");
        plot.ShowLegend(Alignment.UpperRight);
        plot.SavePng(file, 800, 500);
    }

    private static ScottPlot.Plottables.Scatter Add(Plot plot, string name, IEnumerable<(int Step, double Loss)> points)
    {
        var (steps, losses) = (points.Select(point => (double)point.Step), points.Select(point => point.Loss));
        var curve = plot.Add.Scatter(steps.ToArray(), losses.ToArray());
        curve.LegendText = name;
        curve.LineWidth = 2;
        return curve;
    }
}
