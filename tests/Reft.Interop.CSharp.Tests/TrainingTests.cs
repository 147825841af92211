using Expecto;
using Expecto.CSharp;
using static TorchSharp.torch;

namespace Reft.Tests;

/// <summary>Training from C#, and what it leaves in the model.</summary>
public static class TrainingTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 2e-2, Epochs = 6, BatchSize = 4 };

    /// <summary>Training.</summary>
    [Tests]
    public static readonly Test Training = Runner.TestList(
        "Training",
        [
            Runner.TestCase("the loss falls; save and load give the same scores exactly", SaveAndLoad),
            Runner.TestCase("the same seeds give the same model", SameSeeds),
            Runner.TestCase("a cancelled run keeps the last step", CancelledKeepsState),
            Runner.TestCase("a run that diverges keeps the step before", DivergedKeepsState),
            Runner.TestCase("progress counts steps, epochs and evaluations", Progress),
            Runner.TestCase("rows left unscored are counted and skipped", SkippedRows),
            Runner.TestCase("no rows, bad options and a bare model are refused", Refusals),
            Runner.TestCase("nothing else may use a model in training", InUse),
            Runner.TestCase("an own function trains, is saved by its name and is refused without it", OwnFunction),
            Runner.TestCase("training, generating and scoring leave no tensors behind", NothingLeaks),
            Runner.TestCase("an own function of a wrong shape is refused", OwnFunctionOfWrongShape),
        ]);

    private static TrainingResult Fit(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress>? progress = null, CancellationToken cancel = default) =>
        model.FitAsync(TinyLlama.Data, options, progress, cancel).GetAwaiter().GetResult();

    private static float[][] Scores(ReftModel model) =>
        [.. model.Score(Enumerable.Range(0, 5).Select(i => new DataRow { InputIds = [1, 40 + i, 80 - i, 20, 21, 22] }), 2)
            .Select(score => score.LogProbs.ToArray())];

    private static void SameScores(float[][] expected, float[][] found, string what) =>
        Check.Same(expected.SelectMany(row => row), found.SelectMany(row => row), what);

    private static void SaveAndLoad()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var before = model.Evaluate(TinyLlama.Data);
        var result = Fit(model, Quick);
        var after = model.Evaluate(TinyLlama.Data);
        Check.That(after < 0.7 * before, $"expected the loss to fall well below {before}, found {after}");
        Check.Equal((24, false, 16, 0), (result.History.Count, result.Cancelled, result.TrainedRows, result.SkippedRows), "the result");

        model.SaveAdapter(folder.Path);
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        SameScores(Scores(model), Scores(fresh), "scores after loading");
        Check.Equal(model.Describe().ToString(), fresh.Describe().ToString(), "the description after loading");

        // 2 layers × 2 groups × (R 64 × 4, W 4 × 64, b 4).
        Check.Equal(2 * 2 * (256 + 256 + 4), fresh.Describe().TrainableParameters, "trainable parameters");
        Check.Same(["layers.1.block_output", "layers.2.block_output"], fresh.Describe().Placements.Select(p => p.Site), "sites");
        var info = AdapterInfo.Read(folder.Path);
        Check.Equal(fresh.Describe().TrainableParameters, info.TrainableParameters, "trainable parameters of the folder");
        Check.Same(fresh.Describe().Placements, info.Placements, "placements of the folder");
        Check.Throws<FileNotFoundException>(() => AdapterInfo.Read(TinyLlama.Folder), "reft.json");
        var scores = Scores(model);
        Check.That(!Scores(model.Detach())[0].SequenceEqual(scores[0]), "detaching should give the base model");
    }

    private static void SameSeeds()
    {
        float[][] Trained(long seed)
        {
            using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec, new ModelOptions { Seed = seed });
            Fit(model, Quick with { Epochs = 1, Seed = seed });
            return Scores(model);
        }

        SameScores(Trained(3), Trained(3), "scores of the same seed");
        Check.That(!Trained(3)[0].SequenceEqual(Trained(4)[0]), "another seed should give other scores");
    }

    private static void CancelledKeepsState()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var before = model.Evaluate(TinyLlama.Data);
        using var cancel = new CancellationTokenSource();
        var result = Fit(model, Quick, new Told(step => CancelAt(12, step)), cancel.Token);
        Check.Equal((true, 12), (result.Cancelled, result.History.Count), "the result");
        Check.That(model.Evaluate(TinyLlama.Data) < before, "the model should keep what it learnt");

        // Steps do not depend on what comes after them: the same steps again give the same model.
        using var again = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        using var cancelAgain = new CancellationTokenSource();
        Fit(again, Quick, new Told(step => { if (step.Step == 12) { cancelAgain.Cancel(); } }), cancelAgain.Token);
        SameScores(Scores(model), Scores(again), "scores after the same steps");

        var none = Fit(model, Quick, null, new CancellationToken(canceled: true));
        Check.Equal((true, 0), (none.Cancelled, none.History.Count), "a run cancelled before it began");
        SameScores(Scores(again), Scores(model), "scores after a run of no steps");

        void CancelAt(int last, TrainingProgress step)
        {
            if (step.Step == last)
            {
                cancel.Cancel();
            }
        }
    }

    private static void DivergedKeepsState()
    {
        // exp of a huge number is infinite as soon as the first step has moved v away from 0.
        var explosive = Interventions.FromFunc(
            "explosive", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => (p["v"] * 1e20f).exp() - 1 + (p["v"] * h));
        using var model = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(2), explosive));
        var steps = new List<TrainingProgress>();
        var thrown = Check.Throws<DivergenceException>(
            () => Fit(model, Quick with { WarmupRatio = 0, MaxGradientNorm = null }, new Told(steps.Add)), "diverged");
        Check.Equal((1, 2), (steps.Count, thrown.Step), "the steps taken, and the one that failed");
        Check.That(!double.IsFinite(model.Evaluate(TinyLlama.Data)), "the model should have the parameters after step 1, not those before it");
        using var folder = TinyLlama.NewFolder();
        model.SaveAdapter(folder.Path); // It refuses parameters that are not finite.
    }

    private static void Progress()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var told = new List<TrainingProgress>();
        var result = Fit(model, Quick with { Epochs = 2, EvaluationData = TinyLlama.Data, GradientAccumulation = 2 }, new Told(told.Add));
        Check.Same(Enumerable.Range(1, 4), told.Select(step => step.Step), "steps");
        Check.Same([0.5, 1, 1.5, 2], told.Select(step => step.Epoch), "epochs");
        Check.Same([false, true, false, true], told.Select(step => step.EvaluationLoss is not null), "evaluations");
        Check.Equal(told[^1].EvaluationLoss, result.EvaluationLoss, "the last evaluation");
        Check.Equal(TimeSpan.Zero, told[^1].Remaining, "the time that remains at the end");
        Check.That(told.All(step => step.TokensPerSecond > 0 && step.GradientNorm > 0 && step.TotalSteps == 4), "figures of each step");
        Check.Same(told, result.History, "the history");
    }

    private static void SkippedRows()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var data = TrainingData.FromRows(
        [
            new DataRow { InputIds = [1, 5, 6, 7], Labels = [-100, -100, 6, 7] },
            new DataRow { InputIds = [1, 5, 6, 7], Labels = [-100, -100, -100, -100] },
            new DataRow { InputIds = [1, 5, 6, 7, 8, 9], Labels = [-100, -100, -100, -100, -100, 9] },
        ]);
        var result = model.FitAsync(data, new TrainingOptions { Epochs = 1, MaxLength = 5 }).GetAwaiter().GetResult();
        Check.Equal((1, 2), (result.TrainedRows, result.SkippedRows), "rows");
        Check.Throws<ArgumentException>(
            () => model.FitAsync(TrainingData.FromRows(data.Rows.Skip(1)), new TrainingOptions { MaxLength = 5 }).GetAwaiter().GetResult(),
            "none of the 2 rows");
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Check.Throws<ArgumentException>(
            () => model.FitAsync(TrainingData.FromRows([])).GetAwaiter().GetResult(), "the dataset is empty");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { Epochs = 0 }), "Epochs", "0");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { LearningRate = double.NaN }), "LearningRate");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { MaxLength = 129 }), "MaxLength", "128");
        Check.Throws<InvalidDataException>(
            () => model.FitAsync(TrainingData.FromRows([new DataRow { InputIds = [1, 256], Labels = [-100, 2] }])).GetAwaiter().GetResult(),
            "row 0", "input_ids[1]", "255", "256");
        Check.Throws<InvalidDataException>(
            () => model.FitAsync(TrainingData.FromRows([new DataRow { InputIds = [1, 2], Labels = [1, 2] }])).GetAwaiter().GetResult(),
            "labels", "labels[0]");
        Check.Throws<InvalidDataException>(
            () => model.FitAsync(TrainingData.FromPairs([("a", "b")])).GetAwaiter().GetResult(), "'prompt'", "tokenizer.json");
        Check.Throws<InvalidOperationException>(() => Fit(model.Detach(), Quick), "nothing is attached");
    }

    private static void InUse()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Exception? thrown = null;
        var attempt = new Told(_ =>
        {
            try
            {
                model.Generate([1, 2, 3]);
            }
            catch (InvalidOperationException e)
            {
                thrown = e;
            }
        });
        Fit(model, Quick with { Epochs = 1 }, attempt);
        Check.That(thrown is not null, "generating while training should be refused");
        Check.That(model.Generate([1, 2, 3]).TokenIds.Count > 0, "generating after training should work");
    }

    private static void NothingLeaks()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Use();

        // What other tests left to finalizers must not count; what this one leaves to them must, so they may not run.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Check.That(GC.TryStartNoGCRegion(200_000_000), "the collector should wait");
        var before = Tensor.TotalCount;
        for (var i = 0; i < 5; i++)
        {
            Use();
        }

        var after = Tensor.TotalCount;
        GC.EndNoGCRegion(); // It throws if the collector ran all the same.
        Check.Equal(before, after, "live tensors");

        void Use()
        {
            Fit(model, Quick with { Epochs = 1, EvaluationData = TinyLlama.Data });
            model.GenerateBatch([[1, 2, 3], [1]], new GenerationOptions { MaxNewTokens = 4 });
            Scores(model);
            model.SaveAdapter(folder.Path);
            model.LoadAdapter(folder.Path);
            Scores(model);
        }
    }

    private static void OwnFunction()
    {
        var shift = Interventions.FromFunc(
            "shift", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => p["v"] * h.tanh());
        var spec = new ReftSpec().At(Sites.MlpOutput(3), Positions.All, (0.5 * Interventions.Loreft(4)) + shift);
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, spec);
        var before = model.Evaluate(TinyLlama.Data);
        Fit(model, Quick);
        Check.That(model.Evaluate(TinyLlama.Data) < before, "an own function should learn");
        model.SaveAdapter(folder.Path);
        var scores = Scores(model);
        Check.Throws<InvalidDataException>(() => model.LoadAdapter(folder.Path), "shift");
        SameScores(scores, Scores(model), "scores after a refused adapter");
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path, new InterventionRegistry { shift });
        SameScores(scores, Scores(fresh), "scores after loading");
    }

    private static void OwnFunctionOfWrongShape()
    {
        var wrong = Interventions.FromFunc(
            "wrong", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => (p["v"] * h).sum(-1));
        using var model = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), wrong));
        Check.Throws<InvalidOperationException>(() => Fit(model, Quick), "'wrong'", "own shape");
    }

    /// <summary>Progress on the training thread itself, as a console program wants it.</summary>
    private sealed class Told(Action<TrainingProgress> tell) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => tell(value);
    }
}
