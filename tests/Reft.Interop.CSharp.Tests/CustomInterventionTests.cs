using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests;

/// <summary>Interventions of a user's own: functions and classes, trained, combined, saved and loaded again.</summary>
public static class CustomInterventionTests
{
    /// <summary>Custom interventions.</summary>
    [Tests]
    public static readonly Test Customs = Runner.TestList(
        "Custom interventions",
        [
            Runner.TestCase("a class trains, is saved by its name and loads through a registry", ClassRoundTrip),
            Runner.TestCase("a class is prepared once per step and sees its rows", WhatAClassSees),
            Runner.TestCase("roles and initial values are kept: constants neither train nor count", Roles),
            Runner.TestCase("a replacement is exact, is saved by its name and composes", Replacement),
            Runner.TestCase("every combination is saved and loads to the same scores", Combinations),
            Runner.TestCase("a wrong shape or a detached graph is refused by name", WrongResults),
            Runner.TestCase("a registry refuses what has no name of its own, and names twice", RegistryRefusals),
            Runner.TestCase("parameters that mean nothing are refused", ParameterRefusals),
            Runner.TestCase("the algebra's operators and their named twins agree", Twins),
            Runner.TestCase("noise is drawn in training alone", Noise),
        ]);

    private static readonly TrainingOptions Quick = new() { LearningRate = 1e-2, Epochs = 6, BatchSize = 4 };

    private static LowRankShift Shift(List<string>? log = null)
    {
        LibTorch.Load();
        return new(4, torch.full(64, 0.01f), log);
    }

    private static ReftSpec At(ReftIntervention intervention) =>
        new ReftSpec().At(Sites.BlockOutput(1, 2), Positions.First(2) + Positions.Last(2), intervention);

    private static float[] Scores(ReftModel model) =>
        [.. model.Score(Enumerable.Range(0, 5).Select(i => new DataRow { InputIds = [1, 40 + i, 80 - i, 20, 21, 22], PromptLength = 4 }), 2)
            .SelectMany(score => score.LogProbs)];

    private static void ClassRoundTrip()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, At(Interventions.From(Shift())));
        var before = model.Evaluate(TinyLlama.Data);
        model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        var after = model.Evaluate(TinyLlama.Data);
        Check.That(after < before - 0.2, $"expected the loss to fall by 0.2 from {before}, found {after}");
        var scores = Scores(model);
        model.SaveAdapter(folder.Path);

        using var fresh = ReftModel.Load(TinyLlama.Folder);
        Check.Throws<InvalidDataException>(() => fresh.LoadAdapter(folder.Path), "'low-rank-shift-4'", "not registered", "none is registered");
        Check.Throws<InvalidDataException>(
            () => fresh.LoadAdapter(folder.Path, new InterventionRegistry { new LowRankShift(5, torch.zeros(64)) }),
            "'low-rank-shift-4'", "registered are low-rank-shift-5");
        fresh.LoadAdapter(folder.Path, new InterventionRegistry { new LowRankShift(4, torch.zeros(64)) });
        Check.Same(scores, Scores(fresh), "scores after loading, with the saved constant");
        Check.Equal("custom \"low-rank-shift-4\"", AdapterInfo.Read(folder.Path).Placements[0].Intervention, "inspected without a registry");

        // It goes on training from there, and gives what the first one would give.
        model.FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
        fresh.FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
        Check.Same(Scores(model), Scores(fresh), "scores after training on");
    }

    private static void WhatAClassSees()
    {
        var log = new List<string>();
        using var model = ReftModel.Load(
            TinyLlama.Folder, new ReftSpec().At(Sites.MlpOutput(1), Positions.Last(2), Interventions.From(Shift(log))));
        var data = TrainingData.FromRows(
        [
            new DataRow { InputIds = [1, 5, 6, 7, 9], PromptLength = 3, Subspaces = [1, 0] },
            new DataRow { InputIds = [1, 5, 6, 7], PromptLength = 2, Subspaces = [2] },
        ]);
        model.FitAsync(data, Quick with { Epochs = 1, Shuffle = false }).GetAwaiter().GetResult();
        Check.Same(["prepare", "layers.1.mlp_output 4 True 0,0,1,1 1,0"], log, "one training step");

        log.Clear();
        model.Generate([1, 5, 6], new GenerationOptions { MaxNewTokens = 3, IgnoreEos = true });
        Check.Same(["prepare", "layers.1.mlp_output 2 False 0,0 "], log, "a generation, whose prompt alone is edited");
    }

    private static void Roles()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, At(Interventions.From(Shift())));

        // 2 layers × 2 groups × (free 64 × 4, weight 4 × 64, bias 4); the mean of 64 is constant.
        Check.Equal(2 * 2 * (256 + 256 + 4), model.Describe().TrainableParameters, "trainable parameters");

        // One parameter of each role and no gradient for one of them: only weight decay moves it.
        var seen = new Dictionary<string, float>();
        var shapes = new ParameterShapes
        {
            { "learnt", ParameterStart.Zeros, ParameterRole.Undecayed, ParameterShapes.Width },
            { "decayed", ParameterStart.Ones, ParameterRole.Decayed, 1 },
            { "kept", ParameterStart.Ones, 1 },
            { "constant", torch.tensor(3f), ParameterRole.Constant },
        };
        var probe = Interventions.FromFunc("probe", shapes, (p, h) =>
        {
            foreach (var (name, value) in p)
            {
                seen[name] = value.detach().abs().max().item<float>();
            }

            return (p["learnt"] * h) + (0 * (p["decayed"] + p["kept"]));
        });
        using var probed = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), probe));
        probed.FitAsync(TinyLlama.Data, Quick with { WeightDecay = 0.5, WarmupRatio = 0 }).GetAwaiter().GetResult();
        probed.Score([1, 2, 3]);
        Check.That(seen["learnt"] > 0, "a learnt parameter should move");
        Check.That(seen["decayed"] < 1, "a decayed parameter should shrink");
        Check.Equal((1f, 3f), (seen["kept"], seen["constant"]), "an undecayed parameter without a gradient, and a constant");
        Check.Equal(64 + 2, probed.Describe().TrainableParameters, "a constant does not count");
    }

    private static void Replacement()
    {
        using var folder = TinyLlama.NewFolder();
        var zero = Interventions.Replace("zero", h => h * 0);
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Bf16 });
        var bare = Scores(model);
        model.Attach(new ReftSpec().At(Sites.MlpOutput(1), Positions.All, zero));
        var zeroed = Scores(model);
        Check.That(!bare.SequenceEqual(zeroed), "zeroing an MLP should change the scores");
        model.SaveAdapter(folder.Path);
        Check.Throws<InvalidDataException>(() => model.LoadAdapter(folder.Path), "'zero'");
        Check.Same(zeroed, Scores(model.LoadAdapter(folder.Path, new InterventionRegistry { zero })), "scores after loading");

        // h + 1 · (0 − h): in fp32 exactly 0 again.
        Check.Same(zeroed, Scores(model.Attach(new ReftSpec().At(Sites.MlpOutput(1), Positions.All, 1 * zero))), "as a change");
        Check.Same(
            zeroed, Scores(model.Attach(new ReftSpec().At(Sites.MlpOutput(1), Positions.All, Interventions.Loreft(2).Then(zero)))), "after another");
    }

    private static void Combinations()
    {
        using var folder = TinyLlama.NewFolder();
        var mine = Interventions.From(Shift());
        var half = Interventions.FromFunc("half", new ParameterShapes { { "g", 1 } }, (p, h) => p["g"].sigmoid().expand_as(h));
        var known = new InterventionRegistry { mine, half };
        Check.Same(["low-rank-shift-4", "half"], known, "the registered names");
        foreach (var (name, intervention) in new (string, ReftIntervention)[]
        {
            ("(custom \"low-rank-shift-4\" + loreft(rank=2))", mine + Interventions.Loreft(2)),
            ("0.5 * custom \"low-rank-shift-4\"", 0.5 * mine),
            ("(loreft(rank=2) >=> custom \"low-rank-shift-4\")", Interventions.Loreft(2).Then(mine)),
            ("gate custom \"half\" (custom \"low-rank-shift-4\")", mine.Gate(half)),
            ("dropout(0.2) (custom \"low-rank-shift-4\")", mine.Dropout(0.2)),
            ("dropout(0.2, output) (custom \"low-rank-shift-4\")", mine.DropoutOutput(0.2)),
            ("(onSubspace [0;2] (loreft(rank=4)) + custom \"low-rank-shift-4\")", Interventions.Loreft(4).OnSubspace(0, 2) + mine),
        })
        {
            Check.Equal(name, intervention.ToString(), "the text");
            using var model = ReftModel.Load(TinyLlama.Folder, At(intervention));
            model.FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
            var scores = Scores(model);
            model.SaveAdapter(folder.Path);
            Check.Equal(name, AdapterInfo.Read(folder.Path).Placements[0].Intervention, "the text of the folder");
            using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path, known);
            Check.Same(scores, Scores(fresh), $"scores of {name} after loading");
        }
    }

    private static void WrongResults()
    {
        var v = new ParameterShapes { { "v", ParameterShapes.Width } };
        Refused("sums", Interventions.FromFunc("sums", v, (p, h) => (p["v"] * h).sum(-1)), "own shape", "expected [", " × 64]", "found [");
        Refused("detached", Interventions.FromFunc("detached", v, (p, h) => (p["v"] * h).detach()), "expected a result with a gradient", "detached");
        Refused("narrow", Interventions.Replace("narrow", h => h.narrow(1, 0, 8)), "own shape", "× 8]");

        static void Refused(string name, ReftIntervention intervention, params string[] parts)
        {
            // A trained edit below lets gradients arrive where the bad one stands.
            var spec = new ReftSpec()
                .At(Sites.BlockOutput(0), Positions.Last(1), Interventions.Loreft(1))
                .At(Sites.BlockOutput(1), Positions.Last(1), intervention);
            using var model = ReftModel.Load(TinyLlama.Folder, spec);
            var before = Scores(model.Detach());
            model.Attach(spec);
            Check.Throws<InvalidOperationException>(
                () => model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult(), [$"'{name}'", .. parts]);
            Check.Same(before, Scores(model.Detach()), "the model should go on working");
        }
    }

    private static void RegistryRefusals()
    {
        var shift = Interventions.Replace("shift", h => h + 1);
        Check.Throws<ArgumentException>(() => _ = new InterventionRegistry { Interventions.Loreft(2) }, "your own", "loreft(rank=2)");
        Check.Throws<ArgumentException>(() => _ = new InterventionRegistry { 0.5 * shift }, "0.5 * custom");
        Check.Throws<ArgumentException>(() => _ = new InterventionRegistry { shift, Interventions.Replace("shift", h => h) }, "'shift'");
        Check.Throws<ArgumentException>(() => _ = new InterventionRegistry { Positions.First(2) }, "functions of the row", "f2");
        var second = Positions.AfterToken("second", 5, 2);
        Check.Throws<ArgumentException>(() => _ = new InterventionRegistry { second, Positions.First(1) + second }, "'second'");
        Check.Throws<ArgumentException>(() => Interventions.Replace(" ", h => h), "name");
    }

    private static void ParameterRefusals()
    {
        LibTorch.Load();
        Check.Throws<ArgumentException>(() => _ = new ParameterShapes { { "v", torch.tensor(float.NaN) } }, "'v'", "finite");
        Check.Throws<ArgumentException>(() => _ = new ParameterShapes { { "v", torch.zeros(2) }, { "v", 4 } }, "'v'");
        var infinite = Interventions.FromFunc(
            "infinite", new ParameterShapes { { "v", (width, _) => torch.full(width, float.PositiveInfinity) } }, (p, h) => p["v"] * h);
        Check.Throws<ArgumentException>(() => ReftModel.Load(TinyLlama.Folder, At(infinite)), "'v'", "finite");

        // Another width than the saved one is told with both shapes.
        using var folder = TinyLlama.NewFolder();
        ReftIntervention Sized(long size) => Interventions.FromFunc(
            "sized", new ParameterShapes { { "v", size } }, (p, h) => p["v"].sum() * h);
        using var model = ReftModel.Load(TinyLlama.Folder, At(Sized(3)));
        model.SaveAdapter(folder.Path);
        Check.Throws<InvalidDataException>(
            () => model.LoadAdapter(folder.Path, new InterventionRegistry { Sized(4) }), "expected F32 [4]", "[3]");
    }

    private static void Twins()
    {
        var (a, b) = (Interventions.Loreft(2), Interventions.From(Shift()));
        Same(a + b, ReftIntervention.Add(a, b), "+");
        Same(0.5 * a, ReftIntervention.Multiply(0.5, a), "*");
        Same(a * 0.5, ReftIntervention.Multiply(a, 0.5), "*");
        Same(-a, ReftIntervention.Negate(a), "-");
        Same(a - b, ReftIntervention.Subtract(a, b), "-");
        Same(a - b, a + (-1 * b), "-");
        Same(a, a + Interventions.Zero, "zero");
        Same(a, Interventions.Zero.Then(a), "zero");
        Same(a, a.Dropout(0), "no dropout");
        Check.Throws<ArgumentException>(() => a.Dropout(1), "0 … 1");
        Check.Throws<ArgumentException>(() => a.DropoutOutput(-0.1), "0 … 1");
        Check.Throws<ArgumentException>(() => b.OnSubspace(0), "latent rows");

        static void Same(ReftIntervention expected, ReftIntervention found, string what)
        {
            Check.Equal(expected.ToString(), found.ToString(), what);
            using var x = ReftModel.Load(TinyLlama.Folder, At(expected));
            using var y = ReftModel.Load(TinyLlama.Folder, At(found));
            Check.Same(Scores(x), Scores(y), $"scores of {what}");
        }
    }

    private static void Noise()
    {
        var always = Interventions.From(new Noisy());
        using var model = ReftModel.Load(TinyLlama.Folder, At(always));
        Check.Throws<InvalidOperationException>(() => model.Score([1, 2, 3, 4, 5]), "IsTraining");
        Noisy.Draws.Clear();
        model.FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
        var first = Noisy.Draws.ToArray();
        Check.Equal(first.Length, first.Distinct().Count(), "draws that differ within a run");
        Noisy.Draws.Clear();
        model.Attach(At(always)).FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
        Check.Same(first, Noisy.Draws, "draws of a second run");
    }

    private sealed class Noisy : IIntervention
    {
        public static List<float> Draws { get; } = [];

        public string Name => "noisy";

        public ParameterShapes Parameters(int width) => new() { { "v", width } };

        public torch.Tensor Change(IReadOnlyDictionary<string, torch.Tensor> parameters, InterventionRows rows, torch.Tensor hidden)
        {
            var (a, b) = (rows.Normal(hidden.shape), rows.Normal(hidden.shape));
            Draws.AddRange([a.sum().item<float>(), b.sum().item<float>()]);
            return parameters["v"] * (a + b);
        }
    }
}
