using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests;

/// <summary>Trained edits that are scaled, and adapters trained apart that act together.</summary>
public static class StackingTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 1e-2, Epochs = 3, BatchSize = 4, WarmupRatio = 0 };

    /// <summary>Adapters together.</summary>
    [Tests]
    public static readonly Test Stacking = Runner.TestList(
        "Adapters together",
        [
            Runner.TestCase("a scaled edit is the edit times a number, and 1 brings it back", Scales),
            Runner.TestCase("what is trained and saved is not scaled", SavesUnscaled),
            Runner.TestCase("adapters act one after another, each by its scale", ActInOrder),
            Runner.TestCase("those of different places act as one spec with both", ActAsOne),
            Runner.TestCase("a tuning of the model and interventions, trained apart", TuningAndEdits),
            Runner.TestCase("with a classification head", Heads),
            Runner.TestCase("a run goes on with the teacher it had, scale and order included", Teaches),
            Runner.TestCase("what cannot be done is refused, and what was attached stays", Refusals),
            Runner.TestCase("nothing of them is left behind", NothingLeaks),
        ]);

    private static readonly ParameterShapes None = new();

    private static DataRow[] Rows { get; } =
        [.. Enumerable.Range(0, 3).Select(i => new DataRow { InputIds = [1, 40 + i, 80 - i, 20, 21, 22], PromptLength = 4 })];

    private static float[] Scores(ReftModel model) => [.. model.Score(Rows).SelectMany(score => score.LogProbs)];

    private static IReadOnlyList<int> Says(ReftModel model) =>
        model.Generate([1, 40, 80], new GenerationOptions { MaxNewTokens = 6, IgnoreEos = true }).TokenIds;

    private static ReftModel Fitted(ReftSpec spec, string? folder = null)
    {
        var model = ReftModel.Load(TinyLlama.Folder, spec);
        model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        if (folder is not null)
        {
            model.SaveAdapter(folder);
        }

        return model;
    }

    private static void Scales()
    {
        var edit = Interventions.Loreft(4);
        ReftSpec With(ReftIntervention what) => new ReftSpec().At(Sites.BlockOutput(1, 2), Positions.First(2), what, InterventionPhase.Always);
        using var plain = ReftModel.Load(TinyLlama.Folder);
        using var model = ReftModel.Load(TinyLlama.Folder, With(edit));
        var trained = Scores(model);
        foreach (var factor in new[] { -1, 0.5, 2, 0, 1 })
        {
            // Fresh parameters are those of the seed, whatever they are multiplied by.
            using var expected = ReftModel.Load(TinyLlama.Folder, With(factor * edit));
            Check.That(ReferenceEquals(model, model.ScaleEdits(factor)), "expected the same model");
            Check.Equal(factor, model.EditScale, "the scale");
            Check.Same(Scores(expected), Scores(model), $"scores at {factor}");
            Check.Same(Says(expected), Says(model), $"tokens at {factor}");
            Check.Equal(expected.Evaluate(TinyLlama.Data), model.Evaluate(TinyLlama.Data), $"the loss at {factor}");
            Check.Same(
                expected.Collect(Rows, Sites.BlockOutput(2), Positions.All)[0].Values.ToArray(),
                model.Collect(Rows, Sites.BlockOutput(2), Positions.All)[0].Values.ToArray(),
                $"activations at {factor}");
        }

        Check.Same(trained, Scores(model), "scores as trained");
        Check.Equal("-2 * loreft(rank=4)", model.ScaleEdits(-2).Describe().Placements[0].Intervention, "what runs");
        Check.Same(Scores(plain), Scores(model.ScaleEdits(0)), "the base model's scores");
        Check.Equal(1.0, model.Attach(With(edit)).EditScale, "the scale of what is attached anew");
    }

    private static void SavesUnscaled()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = Fitted(TinyLlama.Spec);
        var trained = Scores(model);
        model.ScaleEdits(-2).SaveAdapter(folder.Path);
        Check.Throws<InvalidOperationException>(() => model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult(), "scaled by -2", "ScaleEdits(1)");
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        Check.Same(trained, Scores(fresh), "scores after loading");
        model.ScaleEdits(1).FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        Check.That(!trained.SequenceEqual(Scores(model)), "expected training to go on");
    }

    private static void ActInOrder()
    {
        using var folder = TinyLlama.NewFolder();
        var more = Interventions.FromFunc("more", None, (_, h) => h * 0.5f);
        var moved = Interventions.FromFunc("moved", None, (_, h) => torch.full_like(h, 0.25f));
        var known = new InterventionRegistry { more, moved };
        ReftSpec At(ReftIntervention what) => new ReftSpec().At(Sites.BlockOutput(1), Positions.All, what, InterventionPhase.Always);
        using var model = ReftModel.Load(TinyLlama.Folder);
        foreach (var (name, what) in new[] { ("more", more), ("moved", moved) })
        {
            model.Attach(At(what)).SaveAdapter(folder.File(name));
        }

        foreach (var (first, second, scale) in new[] { ("more", "moved", 1.0), ("moved", "more", 1.0), ("moved", "more", -2.0) })
        {
            // h ↦ 1.5 h and h ↦ h + s / 4, one after the other: exact in binary.
            var expected = Interventions.FromFunc(
                "both", None, (_, h) => first == "more" ? (h * 0.5f) + (0.25f * scale) : ((h + (0.25f * scale)) * 1.5f) - h);
            AdapterSource Source(string name) => new(folder.File(name)) { Scale = name == "moved" ? scale : 1 };
            var found = Scores(model.LoadAdapters([Source(first), Source(second)], known));
            Check.Same([Source(first), Source(second)], model.LoadedAdapters, "what is loaded");
            var said = Says(model);
            var held = Held(model);
            var off = Scores(model.ScaleEdits(0));
            model.Attach(At(expected));
            Check.That(
                Scores(model).Zip(found).All(pair => Math.Abs(pair.First - pair.Second) < 1e-5),
                $"expected {first} and then {second}, times {scale}, to act as one function does");
            Check.Same(Says(model), said, "tokens");
            Check.That(
                Held(model).Zip(held).All(pair => Math.Abs(pair.First - pair.Second) < 1e-5), "expected the activations of one function");
            Check.Same(Scores(model.Detach()), off, "scores times 0");
            Check.Equal(0, model.LoadedAdapters.Count, "adapters after detaching");
        }

        static float[] Held(ReftModel model) => model.Collect(Rows, Sites.BlockOutput(2), Positions.All)[0].Values.ToArray();
    }

    private static void ActAsOne()
    {
        using var folder = TinyLlama.NewFolder();
        ReftSpec spec1 = new ReftSpec().At(Sites.BlockOutput(0), Positions.First(2), Interventions.Loreft(2));
        ReftSpec spec2 = new ReftSpec().At(Sites.BlockOutput(2), Positions.Last(1), Interventions.DireftPaper(3), InterventionPhase.Prompt);
        using (Fitted(spec1, folder.File("a")))
        using (Fitted(spec2, folder.File("b")))
        {
        }

        using var a = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.File("a"));
        using var b = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.File("b"));
        using var model = ReftModel.Load(TinyLlama.Folder);
        model.LoadAdapters([new(folder.File("a")), new(folder.File("b"))]);
        var both = Scores(model);
        Check.Equal(
            a.Describe().TrainableParameters + b.Describe().TrainableParameters, model.Describe().TrainableParameters, "parameters of both");
        Check.Equal(2, model.Describe().Placements.Count, "placements of both");
        Check.Same(both, Scores(model.LoadAdapters([new(folder.File("b")), new(folder.File("a"))])), "the order of different places does not matter");
        Check.That(!both.SequenceEqual(Scores(a)) && !both.SequenceEqual(Scores(b)), "expected both to act");
        Check.Same(Scores(a), Scores(model.LoadAdapters([new(folder.File("a")), new(folder.File("b")) { Scale = 0 }])), "the second switched off");
        Check.Same(Scores(b), Scores(model.LoadAdapters([new(folder.File("a")) { Scale = 0 }, new(folder.File("b"))])), "the first switched off");
        Check.Same(Scores(a.ScaleEdits(-1)), Scores(model.LoadAdapters([new(folder.File("a")) { Scale = 0.5 }]).ScaleEdits(-2)), "scales multiply");
    }

    private static void TuningAndEdits()
    {
        using var folder = TinyLlama.NewFolder();
        using var edited = Fitted(TinyLlama.Spec, folder.File("edits"));
        using var model = ReftModel.Load(TinyLlama.Folder).AttachTuning(Tuning.Lora(2));
        model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        model.SaveAdapter(folder.File("lora"));
        var tuned = Scores(model);
        AdapterSource lora = new(folder.File("lora")), edits = new(folder.File("edits"));
        model.LoadAdapters([lora, edits]);
        var both = Scores(model);
        Check.Equal("lora(rank=2, alpha=4)", model.Tuning?.ToString(), "the tuning");
        Check.That(!both.SequenceEqual(tuned) && !both.SequenceEqual(Scores(edited)), "expected both to act");
        Check.Same(both, Scores(model.LoadAdapters([edits, lora])), "a tuning is of the model itself, wherever it stands");
        Check.Same(tuned, Scores(model.ScaleEdits(0)), "a tuning is not scaled");
    }

    private static void Heads()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Enumerable.Range(0, 16).Select(i => new LabelledRow { InputIds = [1, 30 + i, 60, i % 2 == 0 ? 90 : 7], Label = i % 2 == 0 ? "yes" : "no" }).ToArray();
        using var model = ReftModel.Load(TinyLlama.Folder).Attach(TinyLlama.Spec);
        model.AttachClassifier(new ClassifierOptions { Labels = ["no", "yes"] });
        model.FitClassifierAsync(ClassificationData.FromRows(rows), Quick).GetAwaiter().GetResult();
        model.SaveAdapter(folder.File("head"));
        var expected = Labels();
        using (Fitted(TinyLlama.Spec, folder.File("edits")))
        {
        }

        model.LoadAdapters([new(folder.File("head")), new(folder.File("edits")) { Scale = 0 }]);
        Check.Same(expected, Labels(), "what the head says");
        Check.Equal(1.0, model.EvaluateClassifier(ClassificationData.FromRows(rows)).Accuracy, "its accuracy");
        Check.Throws<ArgumentException>(
            () => model.LoadAdapters([new(folder.File("head")), new(folder.File("head"))]), "brings a classification head, and so does");

        double[] Labels() => [.. model.Classify(rows).SelectMany(row => row.Scores).Select(score => score.Score)];
    }

    private static void Teaches()
    {
        using var folder = TinyLlama.NewFolder();
        using (Fitted(TinyLlama.Spec, folder.File("a")))
        {
        }

        AdapterSource whole = new(folder.File("a")), half = whole with { Scale = 0.5 };
        using var teacher = ReftModel.Load(TinyLlama.Folder).LoadAdapters([whole, half]);
        using var student = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var before = student.EvaluateDistillation(TinyLlama.Data, teacher).Divergence;
        Follow(maxSteps: 4, resume: false);
        Check.That(student.EvaluateDistillation(TinyLlama.Data, teacher).Divergence < before, "expected the student to come nearer");
        teacher.LoadAdapters([half, whole]);
        Check.Throws<InvalidDataException>(() => Follow(maxSteps: 4, resume: true), "another run", "Objective");
        teacher.LoadAdapters([whole, half]).ScaleEdits(0);
        Check.Throws<InvalidDataException>(() => Follow(maxSteps: 4, resume: true), "another run", "Objective");
        teacher.ScaleEdits(1);
        Follow(maxSteps: 4, resume: true);

        void Follow(int maxSteps, bool resume) => student.Attach(TinyLlama.Spec).FitDistillationAsync(
            TinyLlama.Data,
            teacher,
            options: Quick with { Epochs = 2, MaxSteps = maxSteps, Checkpoints = new TrainingCheckpoints(folder.File("runs")) { Every = 2, Resume = resume } })
            .GetAwaiter().GetResult();
    }

    private static void Refusals()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = Fitted(TinyLlama.Spec, folder.File("a"));
        var before = Scores(model);
        AdapterSource a = new(folder.File("a"));
        Check.Throws<ArgumentException>(() => model.LoadAdapters([]), "expected at least one adapter");
        Check.Throws<ArgumentException>(() => model.LoadAdapters([a with { Scale = double.NaN }]), "a is NaN", "finite");
        Check.Throws<FileNotFoundException>(() => model.LoadAdapters([a, new(folder.File("missing"))]), "missing");
        Check.Throws<ArgumentOutOfRangeException>(() => model.ScaleEdits(double.PositiveInfinity), "finite");
        Check.Same(before, Scores(model), "what was attached");
        model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();

        model.LoadAdapters([a, a]);
        Check.Throws<InvalidOperationException>(() => model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult(), folder.File("a"), "LoadAdapter");
        Check.Throws<InvalidOperationException>(() => model.Evaluate(TinyLlama.Data), "Score");
        Check.Throws<InvalidOperationException>(() => model.SaveAdapter(folder.File("b")), "where it was trained");
        Check.Throws<InvalidOperationException>(() => model.AttachTuning(Tuning.Lora(2)), "Detach first");
        Check.Throws<InvalidOperationException>(() => model.AttachClassifier(new ClassifierOptions { Labels = ["no", "yes"] }), "Detach first");
        Check.Throws<InvalidOperationException>(
            () => model.FitClassifierAsync(ClassificationData.FromRows([new() { InputIds = [1, 2], Label = "no" }, new() { InputIds = [1, 3], Label = "yes" }])),
            "LoadAdapter");
        Check.That(model.Classifier is null, "expected no head of a run that was refused");
        Check.Throws<ArgumentOutOfRangeException>(() => model.LoadAdapters([a with { Scale = 1e300 }]).ScaleEdits(1e300), "not finite");
        Check.That(Scores(model.LoadAdapters([a, a])).All(float.IsFinite), "expected finite scores");
        Check.That(!Directory.Exists(folder.File("b")), "expected nothing to be written");
        model.Detach();
        Check.Throws<InvalidOperationException>(() => model.ScaleEdits(2), "no intervention");

        model.AttachTuning(Tuning.Lora(2)).SaveAdapter(folder.File("lora"));
        Check.Throws<ArgumentException>(
            () => model.LoadAdapters([new(folder.File("lora")), a, new(folder.File("lora"))]), "tunes the model itself, and so does");
    }

    private static void NothingLeaks()
    {
        using var folder = TinyLlama.NewFolder();
        using (Fitted(TinyLlama.Spec, folder.File("a")))
        {
        }

        using var model = ReftModel.Load(TinyLlama.Folder);
        Work();
        var before = Tensors();
        for (var i = 0; i < 5; i++)
        {
            Work();
        }

        Check.Equal(before, Tensors(), "living tensors");

        void Work()
        {
            model.LoadAdapters([new(folder.File("a")), new(folder.File("a")) { Scale = -1 }]);
            Scores(model);
            Scores(model.ScaleEdits(0.5));
            Says(model);
            model.Detach();
        }

        static long Tensors()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return torch.Tensor.TotalCount;
        }
    }
}
