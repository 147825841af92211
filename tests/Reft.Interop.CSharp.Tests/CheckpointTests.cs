using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Training runs from C# that are saved, chosen from and gone on with.</summary>
public static class CheckpointTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 2e-2, Epochs = 3, BatchSize = 4, GradientAccumulation = 2 };

    private static readonly ReftSpec Dropping = new ReftSpec()
        .At(Sites.BlockOutput(1, 2), Positions.First(2) + Positions.Last(2), Interventions.Loreft(rank: 4).Dropout(0.1));

    /// <summary>Runs with checkpoints.</summary>
    [Tests]
    public static readonly Test Checkpoints = Runner.TestList(
        "Checkpointed runs",
        [
            Runner.TestCase("a run that was cancelled goes on, and its history is whole", GoesOn),
            Runner.TestCase("a classifier's run goes on, its head included", ClassifierGoesOn),
            Runner.TestCase("the model has the best parameters at the end", BestParameters),
            Runner.TestCase("steps that are not finite are left out, a few in a row", SkipsNonFinite),
            Runner.TestCase("a run that diverges after going on keeps what it had", DivergesAfterGoingOn),
            Runner.TestCase("the first rows alone, and steps in place of epochs", Limits),
            Runner.TestCase("what is refused", Refusals),
            Runner.TestCase("schedules are called as on the command line", ScheduleNames),
        ]);

    private static TrainingResult Fit(ReftModel model, TrainingOptions options, int stopAfter = 0)
    {
        using var cancel = new CancellationTokenSource();
        return model.FitAsync(TinyLlama.Data, options, new StopAfter(stopAfter, cancel), cancel.Token).GetAwaiter().GetResult();
    }

    private static string AdapterOf(ReftModel model)
    {
        using var folder = TinyLlama.NewFolder();
        model.SaveAdapter(folder.Path);
        return Convert.ToHexString(File.ReadAllBytes(folder.File("reft.safetensors")));
    }

    // What of a step does not depend on the clock.
    private static IEnumerable<(int, double, double, double, double, double?)> Numbers(TrainingResult result) =>
        result.History.Select(step => (step.Step, step.Epoch, step.Loss, step.GradientNorm, step.LearningRate, step.EvaluationLoss));

    private static void GoesOn()
    {
        using var folder = TinyLlama.NewFolder();
        var options = Quick with { EvaluationData = TinyLlama.Data, EvaluateEvery = 2, BestModel = new BestModel() };
        using var whole = ReftModel.Load(TinyLlama.Folder, Dropping);
        var expected = Fit(whole, options);
        Check.Equal(TrainingEnd.Completed, expected.End, "end");
        Check.Equal(null, expected.Resumed, "nothing to go on from");

        var saved = options with { Checkpoints = new TrainingCheckpoints(folder.Path) { Every = 2, Resume = true } };
        using (var first = ReftModel.Load(TinyLlama.Folder, Dropping))
        {
            var broken = Fit(first, saved, stopAfter: 3);
            Check.Equal((TrainingEnd.Cancelled, 3, true), (broken.End, broken.History.Count, broken.Cancelled), "the broken run");
        }

        // Another seed of the start is of no account: all comes from the checkpoint.
        TrainingResumption? told = null;
        using var second = ReftModel.Load(TinyLlama.Folder, Dropping, new ModelOptions { Seed = 7 });
        var result = Fit(second, saved with { Checkpoints = saved.Checkpoints with { Resumed = from => told = from } });
        Check.Equal((3, 6, false, 0), (told!.Step, told.TotalSteps, told.Ended, told.Warnings.Count), "from where it went on");
        Check.Equal(told, result.Resumed, "the same in the result");
        Check.Same(Numbers(expected), Numbers(result), "the whole history");
        Check.Equal(expected.Best, result.Best, "the best evaluation");
        Check.Equal(AdapterOf(whole), AdapterOf(second), "the adapter, bit for bit");
        Check.That(
            result.History.Zip(result.History.Skip(1)).All(pair => pair.First.Elapsed < pair.Second.Elapsed), "the time should go on too");

        using var third = ReftModel.Load(TinyLlama.Folder, Dropping, new ModelOptions { Seed = 8 });
        var again = Fit(third, saved);
        Check.Equal((true, TrainingEnd.Completed), (again.Resumed!.Ended, again.End), "a run that had ended");
        Check.Equal(AdapterOf(whole), AdapterOf(third), "its adapter again");
    }

    private static void ClassifierGoesOn()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = ClassificationData.FromRows(Enumerable.Range(0, 12).Select(i => new LabelledRow
        {
            InputIds = [1, 40 + i, 90 + (i % 5), 200 + (i % 3)],
            Label = $"label {i % 3}",
        }));
        var options = Quick with
        {
            BestModel = new BestModel { Metric = "accuracy" },
            EvaluateEveryEpochs = 1,
            Checkpoints = new TrainingCheckpoints(folder.Path) { Every = 1, Resume = true },
        };
        using var whole = ReftModel.Load(TinyLlama.Folder, Dropping);
        var expected = Train(whole, options with { Checkpoints = null });
        Check.Same(["loss", "accuracy", "f1", "matthews"], expected.History[^1].Evaluation.Keys, "metrics");
        using (var first = ReftModel.Load(TinyLlama.Folder, Dropping))
        {
            Check.Equal(2, Train(first, options, stopAfter: 2).History.Count, "steps of the broken run");
        }

        using var second = ReftModel.Load(TinyLlama.Folder, Dropping);
        var result = Train(second, options);
        Check.Equal(2, result.Resumed!.Step, "from where it went on");
        Check.Same(Numbers(expected), Numbers(result), "the whole history");
        Check.Equal(AdapterOf(whole), AdapterOf(second), "the adapter with its head, bit for bit");
        Check.Equal(expected.Best!.Value, second.EvaluateClassifier(rows, 4).Accuracy, "the best accuracy is the model's");
        Check.Throws<ArgumentException>(
            () => Train(second, Quick with { BestModel = new BestModel { Metric = "pearson" } }), "loss, accuracy, f1, matthews", "'pearson'");

        TrainingResult Train(ReftModel model, TrainingOptions options, int stopAfter = 0)
        {
            using var cancel = new CancellationTokenSource();
            return model.FitClassifierAsync(rows, options, rows, new StopAfter(stopAfter, cancel), cancel.Token).GetAwaiter().GetResult();
        }
    }

    private static void BestParameters()
    {
        // Held out is another task, whose loss gets worse as this one is learnt.
        var other = TrainingData.FromExamples(Enumerable.Range(0, 4).Select(i => TrainingExample.FromCompletion([1, 30 + i, 9], [40])));
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var result = Fit(model, Quick with
        {
            LearningRate = 5e-2,
            Epochs = 50,
            EvaluationData = other,
            EvaluateEvery = 1,
            BestModel = new BestModel { Patience = 4 },
        });
        Check.Equal(TrainingEnd.EarlyStopped, result.End, "end");
        Check.Equal(result.Best!.Step + 4, result.History.Count, "four evaluations later");
        Check.Equal(result.History.Min(step => step.EvaluationLoss), result.Best.Value, "the smallest loss");
        Check.Equal(result.Best.Value, model.Evaluate(other, 4), "the model's own");
        Check.That(result.EvaluationLoss > result.Best.Value, "the last one is worse");
    }

    private static void SkipsNonFinite()
    {
        // Its change is NaN at the second step, of whatever run, and nowhere else.
        var calls = 0;
        var sometimes = Interventions.FromFunc(
            "sometimes", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => p["v"] * h * (++calls == 2 ? float.NaN : 1f));
        using var model = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(2), sometimes));
        var options = Quick with { GradientAccumulation = 1, Epochs = 1 };
        var result = Fit(model, options with { SkipNonFiniteSteps = 1 });
        Check.Same([false, true, false, false], result.History.Select(step => step.Skipped), "skipped");
        calls = 0;
        Check.Equal(2, Check.Throws<DivergenceException>(() => Fit(model, options), "diverged").Step, "the step that failed");
    }

    private static void DivergesAfterGoingOn()
    {
        using var folder = TinyLlama.NewFolder();
        var broken = false;
        var explosive = Interventions.FromFunc(
            "explosive", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => p["v"] * h * (broken ? float.NaN : 1f));
        var spec = new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(2), explosive);
        var options = Quick with { Checkpoints = new TrainingCheckpoints(folder.Path) { Resume = true } };
        string kept;
        using (var first = ReftModel.Load(TinyLlama.Folder, spec))
        {
            Fit(first, options, stopAfter: 2);
            kept = AdapterOf(first);
        }

        broken = true;
        using var second = ReftModel.Load(TinyLlama.Folder, spec);
        Check.Equal(3, Check.Throws<DivergenceException>(() => Fit(second, options), "diverged").Step, "the step that failed");
        Check.Equal(kept, AdapterOf(second), "the parameters before that step");
    }

    private static void Limits()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var result = Fit(model, Quick with { MaxExamples = 5, EvaluationData = TinyLlama.Data, MaxSteps = 4, WarmupSteps = 2, Schedule = LearningRateSchedule.Constant });
        Check.Equal((5, 4), (result.TrainedRows, result.History.Count), "rows and steps");
        Check.Same([0, 1e-2, 2e-2, 2e-2], result.History.Select(step => step.LearningRate), "learning rates");

        // They are the first ones: with nothing else to differ, a run on them alone is the same run.
        var first = TrainingData.FromRows(TinyLlama.Data.Rows.Take(5));
        using var a = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Fit(a, Quick with { MaxExamples = 5 });
        using var b = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        b.FitAsync(first, Quick).GetAwaiter().GetResult();
        Check.Equal(AdapterOf(b), AdapterOf(a), "the adapter");
    }

    private static void Refusals()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var saved = Quick with { Checkpoints = new TrainingCheckpoints(folder.Path) };
        Fit(model, saved, stopAfter: 2);
        Check.Throws<IOException>(() => Fit(model, saved), folder.Path, "broken off after step 2 of 6", "Resume = true");

        var goingOn = saved with { Checkpoints = saved.Checkpoints with { Resume = true } };
        Check.Throws<InvalidDataException>(() => Fit(model, goingOn with { LearningRate = 1e-2 }), "another run", "LearningRate: 0.02", "0.01");
        Check.Throws<InvalidDataException>(() => Fit(model, goingOn with { Penalty = new TrainingPenalty(2, p => p.Values.First().sum()) }), "Objective: next token", "with 2 times a penalty");
        Check.Throws<InvalidDataException>(() => Fit(model, goingOn with { EvaluationData = TinyLlama.Data }), "Held-out rows: 0 rows");
        Check.Throws<InvalidDataException>(() => Fit(model, goingOn with { Seed = 3 }), "Random stream");
        using var half = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec, new ModelOptions { Dtype = ModelDtype.Bf16 });
        Check.Throws<InvalidDataException>(() => Fit(half, goingOn), "Model: ", "Float32", "BFloat16");

        Check.Throws<ArgumentException>(() => Fit(model, Quick with { BestModel = new BestModel() }), "held out");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { EvaluateEvery = 1, EvaluateEveryEpochs = 1 }), "EvaluateEveryEpochs");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { MaxSteps = 0 }), "MaxSteps");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { WarmupSteps = -1 }), "WarmupSteps");
        Check.Throws<ArgumentException>(() => Fit(model, Quick with { Checkpoints = new TrainingCheckpoints(folder.Path) { Every = 0 } }), "Checkpoints.Every");
        Check.Throws<ArgumentException>(() => LearningRateSchedule.Polynomial(double.NaN), "power");
    }

    private static void ScheduleNames() =>
        Check.Same(
            ["linear", "cosine", "constant", "polynomial:2.5"],
            new[] { LearningRateSchedule.Linear, LearningRateSchedule.Cosine, LearningRateSchedule.Constant, LearningRateSchedule.Polynomial(2.5) }
                .Select(schedule => schedule.ToString()),
            "names");

    private sealed class StopAfter(int step, CancellationTokenSource cancel) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step)
            {
                cancel.Cancel();
            }
        }
    }
}
