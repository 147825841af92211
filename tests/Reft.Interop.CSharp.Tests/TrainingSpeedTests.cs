using Expecto;
using Expecto.CSharp;
using static TorchSharp.torch;

namespace Reft.Tests;

/// <summary>Batching, recomputation and the cache of frozen layers from C#: how steps are computed, not what they learn.</summary>
public static class TrainingSpeedTests
{
    // Rows of 6 to 25 tokens, with EOS.
    private static readonly TrainingData Rows = TrainingData.FromExamples(
        Enumerable.Range(0, 20).Select(i =>
            TrainingExample.FromCompletion([1, .. Enumerable.Range(0, 1 + i).Select(t => 30 + ((7 * i) + (3 * t)) % 200)], [20, 21, 22])));

    private static readonly TrainingOptions Quick = new()
    {
        LearningRate = 1e-2,
        Epochs = 3,
        BatchSize = 4,
        EvaluationData = TinyLlama.Data,
    };

    /// <summary>Steps that do less.</summary>
    [Tests]
    public static readonly Test Speed = Runner.TestList(
        "Training speed",
        [
            Runner.TestCase("recomputation and the cache of frozen layers learn what a plain run learns", SameLosses),
            Runner.TestCase("rows by length and packed rows are all learnt from", Batchings),
            Runner.TestCase("a run that goes on reads the same frozen layers, bit for bit", Resumes),
            Runner.TestCase("pairs learn with a cache, and with recomputation where it is offered", Pairs),
            Runner.TestCase("a classifier learns with all of them", Classifies),
            Runner.TestCase("what is kept ends with the run", NothingIsLeft),
            Runner.TestCase("options that mean nothing are refused", Refusals),
        ]);

    private static TrainingResult Fit(TrainingOptions options)
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        return model.FitAsync(Rows, options).GetAwaiter().GetResult();
    }

    private static void SameLosses()
    {
        using var folder = TinyLlama.NewFolder();
        var plain = Fit(Quick);
        foreach (var options in new[]
        {
            Quick with { RecomputeEvery = 1 },
            Quick with { RecomputeEvery = 3 },
            Quick with { FrozenLayerCache = new() },
            Quick with { FrozenLayerCache = new() { MaxBytes = 10_000, Folder = folder.Path } },
            Quick with { FrozenLayerCache = new() { Folder = folder.Path }, RecomputeEvery = 2 },
        })
        {
            var result = Fit(options);
            Check.Equal(plain.History.Count, result.History.Count, "steps");
            foreach (var (expected, found) in plain.History.Zip(result.History))
            {
                Close(expected.Loss, found.Loss, $"the loss of step {expected.Step}");
                Close(expected.EvaluationLoss ?? 0, found.EvaluationLoss ?? 0, $"the held-out loss after step {expected.Step}");
            }
        }

        Check.Same([], Directory.EnumerateFileSystemEntries(folder.Path), "files after the runs");

        static void Close(double expected, double found, string what) =>
            Check.That(Math.Abs(expected - found) <= 1e-4 * expected, $"{what}: expected {expected}, found {found}");
    }

    private static void Batchings()
    {
        var tokens = Fit(Quick).History;
        foreach (var batching in new[] { TrainingBatching.ByLength(), TrainingBatching.ByLength(2), TrainingBatching.Packed(64) })
        {
            var result = Fit(Quick with { Batching = batching });
            Check.Equal(20, result.TrainedRows, $"rows, {batching}");
            Check.That(result.EvaluationLoss < 0.9 * tokens[0].Loss, $"expected {batching} to learn, found {result.EvaluationLoss}");
            Check.That(
                batching == TrainingBatching.Packed(64) ? result.History.Count < tokens.Count : result.History.Count == tokens.Count,
                $"{batching}: found {result.History.Count} steps, unpacked {tokens.Count}");
        }
    }

    private static void Resumes()
    {
        using var folder = TinyLlama.NewFolder();

        // Less room than the rows need, held-out ones least.
        var options = Quick with { FrozenLayerCache = new() { MaxBytes = 30_000 }, RecomputeEvery = 2 };
        var whole = Fit(options).History;
        using var stop = new CancellationTokenSource();
        using (var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec))
        {
            model.FitAsync(
                Rows,
                options with { Checkpoints = new(folder.Path) { Every = 1 } },
                new StopAt(7, stop),
                stop.Token).GetAwaiter().GetResult();
        }

        var resumed = Fit(options with { Checkpoints = new(folder.Path) { Resume = true } });
        Check.Same([], resumed.Resumed!.Warnings, "warnings");
        Check.Equal(7, resumed.Resumed.Step, "the step it went on from");
        Check.Same(whole.Select(step => step.Loss), resumed.History.Select(step => step.Loss), "losses");
        Check.Same(whole.Select(step => step.EvaluationLoss), resumed.History.Select(step => step.EvaluationLoss), "held-out losses");
    }

    private sealed class StopAt(int step, CancellationTokenSource stop) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step)
            {
                stop.Cancel();
            }
        }
    }

    private static void Pairs()
    {
        var pairs = PreferenceData.FromRows(Enumerable.Range(0, 8).Select(i => new PreferenceRow
        {
            PromptIds = [1, 30 + i, 60 + i],
            ChosenIds = [20, 21, 22],
            RejectedIds = [23, 24],
        }));
        var options = Quick with { EvaluationData = null, FrozenLayerCache = new(), RecomputeEvery = 1 };
        double[] Losses(TrainingOptions options)
        {
            using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
            return [.. model.FitPreferenceAsync(pairs, null, options).GetAwaiter().GetResult().History.Select(step => step.Loss)];
        }

        var plain = Losses(Quick with { EvaluationData = null });
        var found = Losses(options);
        Check.That(
            plain.Length == found.Length && plain.Zip(found).All(pair => Math.Abs(pair.First - pair.Second) <= 1e-4 * pair.First),
            $"expected {string.Join(", ", plain)}, found {string.Join(", ", found)}");

        using var other = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Check.Throws<ArgumentException>(
            () => other.FitPreferenceAsync(pairs, new PreferenceOptions { Method = PreferenceMethod.Reps }, options).GetAwaiter().GetResult(),
            "RecomputeEvery", "RePS");
        Check.Throws<ArgumentException>(
            () => other.FitPreferenceAsync(pairs, null, Quick with { EvaluationData = null, Batching = TrainingBatching.Packed(64) })
                .GetAwaiter().GetResult(),
            "pairs are not packed");
    }

    private static void Classifies()
    {
        using var folder = TinyLlama.NewFolder();
        var data = ClassificationData.FromRows(
            Enumerable.Range(0, 24).Select(i => new LabelledRow
            {
                InputIds = [1, 30 + i, 100 + (i % 2), 60 + i, .. Enumerable.Repeat(50, i % 5)],
                Label = i % 2 == 0 ? "even" : "odd",
            }));
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        model.FitClassifierAsync(data, new TrainingOptions
        {
            LearningRate = 1e-2,
            Epochs = 20,
            BatchSize = 4,
            Batching = TrainingBatching.Packed(32),
            RecomputeEvery = 2,
            FrozenLayerCache = new FrozenLayerCache { Folder = folder.Path },
        }).GetAwaiter().GetResult();
        Check.That(model.EvaluateClassifier(data).Accuracy > 0.9, "expected the labels to be learnt");
    }

    private static void NothingIsLeft()
    {
        var options = Quick with { Epochs = 1, RecomputeEvery = 1, FrozenLayerCache = new(), Batching = TrainingBatching.Packed(40) };
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Use();

        // What other tests left to finalizers must not count; what this one leaves to them must, so they may not run.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Check.That(GC.TryStartNoGCRegion(200_000_000), "the collector should wait");
        var before = Tensor.TotalCount;
        Use();
        var after = Tensor.TotalCount;
        GC.EndNoGCRegion(); // It throws if the collector ran all the same.
        Check.Equal(before, after, "live tensors");

        void Use() => model.FitAsync(Rows, options).GetAwaiter().GetResult();
    }

    private static void Refusals()
    {
        Check.Throws<ArgumentException>(() => Fit(Quick with { RecomputeEvery = 0 }), "RecomputeEvery", "0");
        Check.Throws<ArgumentException>(() => Fit(Quick with { FrozenLayerCache = new() { MaxBytes = -1 } }), "MaxBytes", "-1");
        Check.Throws<ArgumentException>(
            () => Fit(Quick with { Batching = TrainingBatching.Packed(10) }), "tokens, more than a packed row of 10 takes");
        Check.Throws<ArgumentOutOfRangeException>(() => TrainingBatching.Packed(1));
        Check.Throws<ArgumentOutOfRangeException>(() => TrainingBatching.ByLength(0));
        Check.Throws<DirectoryNotFoundException>(
            () => Fit(Quick with { FrozenLayerCache = new() { Folder = Path.Combine(Path.GetTempPath(), "reft-no-such-folder") } }),
            "reft-no-such-folder");
    }
}
