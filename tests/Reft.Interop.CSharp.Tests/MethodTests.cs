using System.Text.RegularExpressions;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Every method of the library from C#: its text, its training, its adapter.</summary>
public static class MethodTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 1e-2, Epochs = 2, BatchSize = 4 };

    /// <summary>Methods.</summary>
    [Tests]
    public static readonly Test Methods = Runner.TestList(
        "Methods",
        [
            .. Trained.Select(m => Runner.TestCase($"{m.Text} trains, is saved and loads", () => Trains(m.Text, m.Make()))),
            Runner.TestCase("every method of the library has a factory", EveryMethodHasAFactory),
            Runner.TestCase("a penalty closes gates", PenaltyClosesGates),
            Runner.TestCase("an identity start is the base model, and refused where there is none", IdentityStarts),
            Runner.TestCase("plain direft is refused and names both", DireftIsAmbiguous),
            Runner.TestCase("activation addition adds the mean difference of two sets of prompts", ActivationAddition),
            Runner.TestCase("representation engineering's operators follow their formulas", Repe),
        ]);

    private static IEnumerable<(string Text, Func<ReftIntervention> Make)> Trained =>
    [
        ("loreft(rank=4)", () => Interventions.Loreft(4)),
        ("dropout(0.1) (loreft(rank=4))", () => Interventions.Loreft(4, dropout: 0.1)),
        ("loreft(rank=4, activation=relu, orthonormal=householder)", () => Interventions.Loreft(4, "relu", "householder")),
        ("loreft(rank=4, start=identity)", () => Interventions.Loreft(4, start: InterventionStart.Identity)),
        ("noreft(rank=4)", () => Interventions.Noreft(4)),
        ("noreft(rank=4, activation=gelu, bias=true)", () => Interventions.Noreft(4, "gelu", bias: true)),
        ("consreft(rank=4)", () => Interventions.Consreft(4)),
        ("lobireft(rank=4, start=identity)", () => Interventions.Lobireft(4, start: InterventionStart.Identity)),
        ("direft_paper(rank=4)", () => Interventions.DireftPaper(4)),
        ("direft_orthonormal(rank=4)", () => Interventions.DireftOrthonormal(4)),
        ("red", Interventions.Red),
        ("bottleneck(rank=4)", () => Interventions.Bottleneck(4)),
        ("bottleneck(rank=4, activation=gelu)", () => Interventions.Bottleneck(4, "gelu")),
        ("lofit_scale", Interventions.LofitScale),
        ("lofit_offset", Interventions.LofitOffset),
        ("jola(heads=4)", () => Interventions.Jola(4)),
        ("reft_r1(top_k=2)", () => Interventions.ReftR1(2)),
        ("partitioned_loreft(rank=4, partition=0,1;2,3)", () => Interventions.PartitionedLoreft(4, "0-1;2-3")),
        ("routed_loreft(rank=2, experts=3)", () => Interventions.RoutedLoreft(2, 3)),
        ("routed_loreft(rank=2, experts=3, router=softmax)", () => Interventions.RoutedLoreft(2, 3, softmax: true)),
        ("gate scalar_gate (loreft(rank=4))", () => Interventions.Loreft(4).Gate(Interventions.ScalarGate())),
        ("gate sigmoid_gate (loreft(rank=4))", () => Interventions.Loreft(4).Gate(Interventions.SigmoidGate())),
        ("gate hard_concrete_gate (loreft(rank=4))", () => Interventions.Loreft(4).Gate(Interventions.HardConcreteGate())),
    ];

    // Made from values that the program holds, or read from another run: tested by themselves.
    private static readonly IReadOnlyDictionary<string, string> OtherFactories = new Dictionary<string, string>
    {
        ["activation_addition"] = nameof(Interventions.ActivationAddition),
        ["repe_linear"] = nameof(Interventions.RepeLinear),
        ["repe_piecewise"] = nameof(Interventions.RepePiecewise),
        ["repe_projection"] = nameof(Interventions.RepeProjection),
        ["zero_out"] = nameof(Interventions.ZeroOut),
        ["interchange"] = nameof(Interventions.Interchange),
        ["add_source"] = nameof(Interventions.AddSource),
        ["subtract_source"] = nameof(Interventions.SubtractSource),
        ["noise"] = nameof(Interventions.Noise),
        ["rotated_interchange"] = nameof(Interventions.RotatedInterchange),
        ["boundless_interchange"] = nameof(Interventions.BoundlessInterchange),
        ["sigmoid_mask"] = nameof(Interventions.SigmoidMask),
        ["pca_interchange"] = nameof(Interventions.PcaInterchange),
        ["autoencoder_interchange"] = nameof(Interventions.AutoencoderInterchange),
        ["jumprelu_interchange"] = nameof(Interventions.AutoencoderInterchange),
    };

    private static void EveryMethodHasAFactory()
    {
        var trained = Trained
            .SelectMany(m => Regex.Matches(m.Text, "[a-z0-9_]+").Select(word => word.Value))
            .ToHashSet(StringComparer.Ordinal);
        var missing = Core.RegistryModule.methods(Core.RegistryModule.standard)
            .Where(name => !OtherFactories.ContainsKey(name) && !trained.Contains(name));
        Check.Equal("", string.Join(", ", missing), "methods that C# cannot reach");
    }

    private static void PenaltyClosesGates()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, At(Interventions.Jola(4)));
        double Train(TrainingPenalty? penalty)
        {
            model.Attach(At(Interventions.Jola(4)));
            return model.FitAsync(TinyLlama.Data, Quick with { Penalty = penalty }).GetAwaiter().GetResult().FinalLoss ?? double.NaN;
        }

        var free = Train(null);
        var closed = Train(TrainingPenalty.OpenHeads(10));
        Check.That(closed > free + 10, $"the penalty is part of the loss: expected far more than {free}, found {closed}");
        model.Attach(At(Interventions.Loreft(2)));
        Check.Throws<ArgumentException>(
            () => model.FitAsync(TinyLlama.Data, Quick with { Penalty = TrainingPenalty.OpenGates(1) }).GetAwaiter().GetResult(),
            "log_alpha");
    }

    private static ReftSpec At(ReftIntervention intervention) =>
        new ReftSpec().At(Sites.AttentionValue(1, 2), Positions.First(2) + Positions.Last(2), intervention);

    private static float[] Scores(ReftModel model) =>
        [.. model.Score(Enumerable.Range(0, 3).Select(i => new DataRow { InputIds = [1, 40 + i, 80 - i, 20, 21, 22], PromptLength = 4 }))
            .SelectMany(score => score.LogProbs)];

    private static void Trains(string text, ReftIntervention intervention)
    {
        Check.Equal(text, intervention.ToString(), "the text");
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, At(intervention));
        var before = model.Evaluate(TinyLlama.Data);
        model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        var after = model.Evaluate(TinyLlama.Data);
        Check.That(after < before, $"expected the loss to fall from {before}, found {after}");
        model.SaveAdapter(folder.Path);
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        Check.Same(Scores(model), Scores(fresh), "scores after loading");
        Check.Equal(text, AdapterInfo.Read(folder.Path).Placements[0].Intervention, "the text of the folder");
    }

    private static void IdentityStarts()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var bare = Scores(model);
        foreach (var intervention in new[]
        {
            Interventions.Loreft(4, start: InterventionStart.Identity),
            Interventions.Noreft(4, start: InterventionStart.Identity),
            Interventions.Lobireft(4, start: InterventionStart.Identity),
            Interventions.DireftPaper(4, start: InterventionStart.Identity),
            Interventions.DireftOrthonormal(4, start: InterventionStart.Identity),
            Interventions.Consreft(4).Gate(Interventions.ScalarGate()),
            Interventions.Red(),
            Interventions.LofitOffset(),
        })
        {
            Check.Same(bare, Scores(model.Attach(At(intervention))), $"scores of {intervention} at its start");
        }

        Check.Throws<ArgumentException>(
            () => Interventions.Loreft(4, "relu", start: InterventionStart.Identity), "identity", "relu", "scalar gate");
    }

    private static void DireftIsAmbiguous() =>
        Check.Throws<ArgumentException>(
            () => Interventions.Named("direft", [new("rank", "4")]), "direft_paper", "direft_orthonormal");

    private static void ActivationAddition()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Fp32 });
        var site = Sites.BlockOutput(2);
        var one = model.Collect([new DataRow { InputIds = [1, 5, 6] }], site, Positions.Last(1));
        var other = model.Collect([new DataRow { InputIds = [1, 90, 91] }, new DataRow { InputIds = [1, 7] }], site, Positions.Last(1));
        var vector = ReadingVectors.MeanDifference(one, other);
        for (var i = 0; i < vector.Length; i++)
        {
            var expected = one[0].Values.Span[i] - ((other[0].Values.Span[i] + other[1].Values.Span[i]) / 2);
            Check.That(Math.Abs(expected - vector[i]) < 1e-5, $"number {i}: expected {expected}, found {vector[i]}");
        }

        var row = new DataRow { InputIds = [1, 90, 91] };
        var bare = model.Collect([row], site, Positions.Last(1))[0].Values.ToArray();
        model.Attach(new ReftSpec().At(site, Positions.Last(1), Interventions.ActivationAddition(one, other, coefficient: 2)));
        var steered = model.Collect([row], site, Positions.Last(1))[0].Values.ToArray();
        Check.That(
            bare.Zip(vector, (h, v) => h + (2 * v)).Zip(steered, (a, b) => Math.Abs(a - b)).Max() < 1e-5, "expected h + 2 v");
        Check.Equal(0, model.Describe().TrainableParameters, "nothing is trained");
        Check.Equal("activation_addition(coefficient=2)", model.Describe().Placements.Single().Intervention, "the text");
        model.SaveAdapter(folder.Path);
        Check.Same(
            steered,
            model.Detach().LoadAdapter(folder.Path).Collect([row], site, Positions.Last(1))[0].Values.ToArray(),
            "after loading, without the vector at hand");

        Check.Throws<ArgumentException>(() => Interventions.ActivationAddition(new float[64]), "activation_addition", "zeros");
        Check.Throws<ArgumentException>(() => Interventions.ActivationAddition(new[] { 1f, float.NaN }), "finite");
        Check.Throws<ArgumentException>(() => Interventions.ActivationAddition(one, one), "zeros");
        Check.Throws<ArgumentException>(
            () => model.Attach(new ReftSpec().At(Sites.MlpActivation(1), Positions.Last(1), Interventions.ActivationAddition(vector))),
            "the width it edits", "64");
    }

    private static void Repe()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Fp32 });
        var site = Sites.BlockOutput(2);
        var row = new DataRow { InputIds = [1, 5, 6, 7] };
        var vector = Enumerable.Range(0, 64).Select(i => MathF.Sin(i) / 4).ToArray();
        var bare = model.Collect([row], site, Positions.Last(1))[0].Values.ToArray();
        var (along, norm) = (Dot(bare, vector), Dot(vector, vector));
        Follows(Interventions.RepeLinear(vector, 0.5), (h, v) => h + (0.5 * v));
        Follows(Interventions.RepePiecewise(vector, 0.5), (h, v) => h + (0.5 * Math.Sign(along) * v));
        Follows(Interventions.RepeProjection(vector), (h, v) => h - (along / norm * v));

        void Follows(ReftIntervention intervention, Func<double, double, double> formula)
        {
            model.Attach(new ReftSpec().At(site, Positions.Last(1), intervention));
            var found = model.Collect([row], site, Positions.Last(1))[0].Values.ToArray();
            model.Detach();
            for (var i = 0; i < found.Length; i++)
            {
                var expected = formula(bare[i], vector[i]);
                Check.That(Math.Abs(expected - found[i]) < 1e-5, $"{intervention}, number {i}: expected {expected}, found {found[i]}");
            }
        }
    }

    private static double Dot(float[] a, float[] b) => a.Zip(b, (x, y) => (double)x * y).Sum();
}
