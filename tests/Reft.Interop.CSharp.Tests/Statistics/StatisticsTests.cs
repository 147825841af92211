using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Statistics;

/// <summary>Metrics, intervals and tests as a C# program calls them; their numbers are checked against others' in the tests of the core.</summary>
public static class StatisticsTests
{
    /// <summary>What a program sees.</summary>
    [Tests]
    public static readonly Test All = Runner.TestList(
        "Statistics",
        [
            Runner.TestCase("metrics of labels and of numbers", OfLabels),
            Runner.TestCase("an interval of any metric of rows", Intervals),
            Runner.TestCase("strata", Strata),
            Runner.TestCase("tests of two methods", Tests),
            Runner.TestCase("runs by seed", Seeds),
            Runner.TestCase("calibration", Calibrated),
            Runner.TestCase("an evaluation has F1 and Matthews, and the best model may be chosen by them", BestByMatthews),
        ]);

    private static void OfLabels()
    {
        string[] targets = ["a", "a", "b", "b", "b"], predictions = ["a", "b", "b", "b", "a"];
        Near(0.6, Metrics.Accuracy(targets, predictions), "accuracy");
        Near(2.0 / 3, Metrics.F1(targets, predictions, "b"), "F1 of b");
        Near((0.5 + (2.0 / 3)) / 2, Metrics.F1(targets, predictions, F1Average.Macro), "macro");
        Near(0.6, Metrics.F1(targets, predictions, F1Average.Micro), "micro");
        Near(1.0 / 6, Metrics.Matthews(targets, predictions), "(1 · 2 − 1 · 1) / √(2 · 3 · 2 · 3)");
        Check.Equal(0.0, Metrics.F1(targets, predictions, "c"), "a label that does not occur");
        Check.Equal(2, Metrics.Confusion(targets, predictions)[("b", "b")], "the table");
        string[] many = [.. Enumerable.Range(0, 50_000).Select(i => $"{i}")];
        Check.Equal((1.0, 1.0), (Metrics.Accuracy(many, many), Metrics.F1(many, many, F1Average.Macro)), "as many labels as rows");
        Near(1, Metrics.Spearman([1, 2, 3], [1, 10, 11])!.Value, "Spearman");
        Check.Equal(null, Metrics.Pearson([1, 1], [1, 2]), "no variance");
        Check.Throws<ArgumentException>(() => Metrics.Accuracy([], []), "at least one", "0 targets");
        Check.Throws<ArgumentException>(() => Metrics.Pearson([1], [1, 2]), "1 targets", "2 predictions");
    }

    private static void Intervals()
    {
        (string Target, string Predicted)[] rows = [.. Enumerable.Range(0, 60).Select(i => ($"{i % 3}", $"{(i % 7 == 0 ? 0 : i % 3)}"))];
        Func<IReadOnlyList<(string Target, string Predicted)>, double> macro = drawn =>
            Metrics.F1([.. drawn.Select(row => row.Target)], [.. drawn.Select(row => row.Predicted)], F1Average.Macro);
        var quick = new BootstrapOptions { Resamples = 500 };
        var found = Bootstrap.Interval(rows, macro, quick);
        Near(macro(rows), found.Estimate, "the estimate");
        Check.That(found.Low < found.Estimate && found.Estimate < found.High && found.High <= 1, $"an interval: {found}");
        Check.Equal(found, Bootstrap.Interval(rows, macro, quick), "the same seed");
        Check.That(found != Bootstrap.Interval(rows, macro, quick with { Seed = 1 }), "another seed");
        var narrow = Bootstrap.Interval(rows, macro, quick with { Level = 0.5 });
        Check.That(found.Low < narrow.Low && narrow.High < found.High, "a lower level is narrower");
        var moved = Bootstrap.Interval(rows, macro, quick with { Kind = BootstrapKind.BiasCorrected });
        Check.That(moved.Low < moved.Estimate && moved != found, $"BCa: {moved}");
        Check.Equal("0.5000 [0.4000, 0.6000]", new ConfidenceInterval(0.4, 0.6, 0.95, 0.5).ToString(), "one line");
        Check.Throws<ArgumentException>(() => Bootstrap.Mean([]), "at least one row");
        Check.Throws<ArgumentException>(() => Bootstrap.Mean([1], new BootstrapOptions { Level = 1.5 }), "1.5");
    }

    private static void Strata()
    {
        double[] rows = [1, 1, 1, 5, 5];
        var found = Bootstrap.Interval(rows, drawn => drawn.Average(), new BootstrapOptions { Resamples = 100 }, row => row);
        Check.Equal((2.6, 2.6), (found.Low, found.High), "each stratum gives as many rows as it has");
    }

    private static void Tests()
    {
        bool[] first = [.. Enumerable.Range(0, 20).Select(i => i < 18)], second = [.. Enumerable.Range(0, 20).Select(i => i is > 17 or < 10)];
        var exact = PairedTest.McNemar(first, second);
        Near(0.3, exact.Difference, "18 against 12 of 20");
        Near(0.109375, exact.PValue, "8 against 2: 112 / 1024");
        double[] one = [.. first.Select(right => right ? 1.0 : 0.0)], other = [.. second.Select(right => right ? 1.0 : 0.0)];
        Near(0.109375, PairedTest.SignFlip(one, other).PValue, "by all signs it is McNemar's");
        Check.That(
            Math.Abs(PairedTest.Permutation(one, other, rows => rows.Average(), 4000).PValue - 0.109375) < 0.03, "and by exchanges about");
        var drawn = PairedTest.Bootstrap(one, other, rows => rows.Average(), new BootstrapOptions { Resamples = 1000 });
        Check.That(drawn.Interval!.Low < 0.3 && drawn.Interval.High > 0.3, $"an interval: {drawn}");
        Check.Same([0.06, 0.06, 0.06], PairedTest.Holm([0.02, 0.03, 0.06]).Select(p => Math.Round(p, 12)), "Holm's");
        Check.Throws<ArgumentException>(() => PairedTest.McNemar([true], [true, false]), "1 and 2");
    }

    private static void Seeds()
    {
        var found = SeedStatistics.Of([1, 2, 3, 4, 5]);
        Near(Math.Sqrt(2.5), found.Deviation!.Value, "n − 1");
        Near(3 - (2.7764451052 * Math.Sqrt(0.5)), found.Interval!.Low, "t of 4 is 2.7764", 1e-8);
        Check.Equal((1, 7.0, null, null), (SeedStatistics.Of([7]).Runs, SeedStatistics.Of([7]).Mean, SeedStatistics.Of([7]).Deviation, SeedStatistics.Of([7]).Interval), "one run");
        Check.That(SeedStatistics.Paired([0.9, 0.8, 0.85], [0.8, 0.7, 0.76]).PValue < 0.01, "pairs that differ alike");
        Check.That(SeedStatistics.Welch([0.9, 0.8, 0.85], [0.8, 0.7, 0.76]).PValue > 0.05, "which independent runs need not");
        Check.Throws<ArgumentException>(() => SeedStatistics.Of([]), "at least one run");
        Check.Throws<ArgumentException>(() => SeedStatistics.Of([double.NaN]), "finite", "NaN", "run 0");
        Check.Throws<ArgumentException>(() => SeedStatistics.Of([1, double.NaN]), "finite", "NaN", "run 1");
        Check.Throws<ArgumentException>(() => SeedStatistics.Welch([1, 2], [1, double.NaN]), "finite", "NaN", "run 1");
    }

    private static void Calibrated()
    {
        ConfidentPrediction[] rows = [new(0.55, true), new(0.6, false), new(0.95, true), new(0.9, true)];
        Near(0.075, Calibration.ExpectedError(rows), "expected error");
        Check.Equal(10, Calibration.Table(rows).Count, "bins");
        Check.Same([2, 2], Calibration.Table(rows, 2, CalibrationBinning.EqualMass).Select(bin => bin.Rows), "equal mass");
        double[][] scores = [[3, 0], [3, 0], [3, 0], [3, 0]];
        int[] labels = [0, 0, 0, 1];
        var temperature = Calibration.FitTemperature(scores, labels);
        Near(3 / Math.Log(3), temperature, "σ(3 / T) = 3/4", 1e-8);
        double[][] probabilities = [.. scores.Select(row => Calibration.Probabilities(row, temperature).ToArray())];
        Near(0.75, probabilities[0][0], "at that temperature", 1e-8);
        Near(((3 * 2 * 0.0625) + (2 * 0.5625)) / 4, Calibration.Brier(probabilities, labels), "Brier", 1e-8);
        Near(-((3 * Math.Log(0.75)) + Math.Log(0.25)) / 4, Calibration.NegativeLogLikelihood(probabilities, labels), "−log p", 1e-8);
        Check.Throws<ArgumentException>(() => Calibration.Probabilities([1], 0), "positive");
    }

    private static void BestByMatthews()
    {
        var rows = ClassificationData.FromRows(Enumerable.Range(0, 24).Select(i => new LabelledRow
        {
            InputIds = [1, 40 + i, 90 + (i % 5), 200 + (i % 2)],
            Label = i % 2 == 0 ? "no" : "yes",
        }));
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var result = model.FitClassifierAsync(
            rows,
            new TrainingOptions { Epochs = 6, BatchSize = 8, LearningRate = 1e-2, EvaluateEveryEpochs = 1, BestModel = new BestModel { Metric = "matthews" } },
            rows).GetAwaiter().GetResult();
        var found = model.EvaluateClassifier(rows);
        Check.Equal(("matthews", found.Matthews), (result.Best!.Metric, result.Best.Value), "the best model is kept");
        string[] targets = [.. rows.Rows.Select(row => row.Label!)], predictions = [.. model.Classify(rows.Rows).Select(row => row.Label!)];
        Near(Metrics.Matthews(targets, predictions), found.Matthews!.Value, "Matthews of its predictions");
        Near(Metrics.F1(targets, predictions, "yes"), found.F1!.Value, "F1 of the second label");
    }

    private static void Near(double expected, double found, string what, double tolerance = 1e-12) =>
        Check.That(Math.Abs(expected - found) <= tolerance, $"{what}: expected {expected}, found {found}");
}
