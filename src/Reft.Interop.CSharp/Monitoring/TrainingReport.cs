using System.Globalization;
using System.Xml.Linq;
using Reft.Internal;
using static Reft.Internal.Markup;

namespace Reft;

/// <summary>
/// A training run as a page: its curves, how far each layer and position is moved, what the model said before and after, and
/// what was run. One file that loads nothing from elsewhere and runs no script.
/// </summary>
public static class TrainingReport
{
    /// <summary>Writes the page, in the place of an older one.</summary>
    /// <param name="path">The file; its folder is made if need be.</param>
    /// <param name="log">The run: that of a <see cref="TrainingResult"/>, or one that was read from a file.</param>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: an older file is intact.</exception>
    public static void WriteHtml(string path, TrainingLog log) => Save(path, ToHtml(log));

    /// <summary>The page as text. It is well-formed XML after its first line.</summary>
    public static string ToHtml(TrainingLog log) =>
        Page(
            "Training run",
            Summary(log),
            Curves(log),
            Edits(log),
            Samples(log.Samples),
            Facts(log.Header));

    private static XElement Summary(TrainingLog log)
    {
        var evaluations = log.Steps.Where(step => step.Evaluation.Count > 0).ToArray();
        var metrics = evaluations.SelectMany(step => step.Evaluation.Keys).Distinct();
        return Table(
            ["", "first", "last", "best"],
            [
                .. log.Steps.Count > 0 ? (string[][])[["training loss", .. Range(log.Steps.Select(step => step.Loss), "loss")]] : [],
                .. metrics.Select(metric => (string[])
                [
                    $"held-out {metric}",
                    .. Range(evaluations.Where(step => step.Evaluation.ContainsKey(metric)).Select(step => step.Evaluation[metric]), metric),
                ]),
                ["steps", "", log.Steps is [.., var last] ? $"{last.Step} of {last.TotalSteps}" : "0", ""],
                ["ended", "", log.End ?? "not yet, or broken off", ""],
                .. log.Resumed.Count > 0 ? (string[][])[["resumed after step", "", string.Join(", ", log.Resumed), ""]] : [],
            ]);

        static string[] Range(IEnumerable<double> values, string metric)
        {
            double[] found = [.. values];
            var finite = found.Where(double.IsFinite).DefaultIfEmpty(double.NaN);
            return [Number(found[0]), Number(found[^1]), Number(metric.Contains("loss", StringComparison.Ordinal) ? finite.Min() : finite.Max())];
        }
    }

    private static IEnumerable<XElement?> Curves(TrainingLog log)
    {
        var metrics = log.Steps.SelectMany(step => step.Evaluation.Keys).Distinct().Take(32).ToArray();
        yield return LineChart.Draw(
            "Loss",
            "step",
            [
                new Curve("training", Points(step => step.Loss)),
                new Curve("held out", Metric("loss"), HasDots: true),
            ],
            fromZero: true);
        foreach (var metric in metrics.Where(metric => metric != "loss"))
        {
            yield return LineChart.Draw($"Held-out {Plain(metric)}", "step", [new Curve(metric, Metric(metric), HasDots: true)]);
        }

        yield return LineChart.Draw("Learning rate", "step", [new Curve("learning rate", Points(step => step.LearningRate))], fromZero: true);
        yield return LineChart.Draw("Gradient norm, before clipping", "step", [new Curve("gradient norm", Points(step => step.GradientNorm))], fromZero: true);
        yield return LineChart.Draw("Tokens per second", "step", [new Curve("tokens per second", Points(step => step.TokensPerSecond))], fromZero: true);

        List<(double X, double Y)> Points(Func<TrainingProgress, double> value) =>
            [.. log.Steps.Select(step => ((double)step.Step, value(step)))];

        List<(double X, double Y)> Metric(string name) =>
            [.. log.Steps.Where(step => step.Evaluation.ContainsKey(name)).Select(step => ((double)step.Step, step.Evaluation[name]))];
    }

    private static IEnumerable<XElement?> Edits(TrainingLog log)
    {
        var measured = log.Steps.Where(step => step.EditNorms.Count > 0).ToArray();
        if (measured.Length == 0)
        {
            yield break;
        }

        var sites = measured.SelectMany(step => step.EditNorms.Select(edit => edit.Site)).Distinct().Take(128).ToArray();
        yield return LineChart.Draw(
            "How far hidden states are moved: ‖Δ‖ / ‖h‖ by site",
            "step",
            [
                .. sites.Select(site => new Curve(site, [
                    .. measured.Select(step => (
                        (double)step.Step,
                        step.EditNorms.Where(edit => edit.Site == site).ToArray() is { Length: > 0 } edits
                            ? TensorBoardWriter.EditsOf(edits)
                            : double.NaN)),
                ])),
            ],
            fromZero: true);
        yield return HeatMap.Draw($"‖Δ‖ / ‖h‖ by site and position, after step {measured[^1].Step}", measured[^1].EditNorms);
        yield return Details(
            "The same as numbers",
            Table(
                ["site", "position", "hidden states", "‖Δ‖", "‖h‖", "‖Δ‖ / ‖h‖"],
                measured[^1].EditNorms.Take(5000).Select(edit => (string[])
                [
                    edit.Site, edit.Position, edit.Rows.ToString(CultureInfo.InvariantCulture),
                    Number(edit.Change), Number(edit.Hidden), Number(edit.Ratio),
                ])));
    }

    private static IEnumerable<XElement> Samples(IReadOnlyList<TrainingSample> samples) =>
        samples.Count == 0
            ? []
            :
            [
                Text("h2", "Before and after"),
                Table(
                    ["input", "expected", "before", "after"],
                    samples.Take(1000).Select(sample => (string[])[sample.Input, sample.Expected ?? "", sample.Before ?? "", sample.After ?? ""]),
                    isText: true),
            ];

    private static IEnumerable<XElement> Facts(TrainingLogHeader? header)
    {
        if (header is null)
        {
            yield break;
        }

        yield return Text("h2", "What was run");
        yield return Text("p", "Begun " + header.Started.ToString("u", CultureInfo.InvariantCulture));
        yield return Table(["placement"], header.Spec.Take(1000).Select(line => (string[])[line]));
        foreach (var (name, facts) in new[] { ("Model", header.Model), ("Options", header.Options), ("Data", header.Data), ("Versions", header.Versions) })
        {
            yield return Details(name, Table(["", ""], facts.Select(fact => (string[])[fact.Key, fact.Value])));
        }
    }
}
