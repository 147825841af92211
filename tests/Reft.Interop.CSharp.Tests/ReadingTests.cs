using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests;

/// <summary>Directions read from activations, and what training adds to the loss.</summary>
public static class ReadingTests
{
    /// <summary>Reading vectors and penalties.</summary>
    [Tests]
    public static readonly Test Directions = Runner.TestList(
        "Reading vectors and penalties",
        [
            Runner.TestCase("reading vectors are those of their definitions", Readings),
            Runner.TestCase("a penalty is trained and not evaluated", Penalty),
        ]);

    private static double Dot(float[] a, float[] b) => a.Zip(b, (x, y) => (double)x * y).Sum();

    private static void Readings()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Fp32 });
        var positives = Collected([1, 5, 6], [1, 8, 9], [1, 30, 31]);
        var negatives = Collected([1, 50, 60], [1, 80, 90], [1, 31, 30]);
        var direction = ReadingVectors.PrincipalDirection(positives, negatives);
        Check.That(Math.Abs(Dot(direction, direction) - 1) < 1e-5, "expected norm 1");
        Check.That(Dot(direction, ReadingVectors.MeanDifference(positives, negatives)) > 0, "the positives should project higher");

        // No other direction has a larger sum of squares: a step to any side makes it smaller.
        float[][] differences = [.. positives.Zip(negatives, (a, b) => a.Values.ToArray().Zip(b.Values.ToArray(), (x, y) => x - y).ToArray())];
        var best = Power(direction);
        for (var i = 0; i < 64; i++)
        {
            float[] moved = [.. direction];
            moved[i] += 0.05f;
            Check.That(Power(moved) < best, $"a step along number {i} should lose");
        }

        double Power(float[] v) => differences.Sum(d => Dot(d, v) * Dot(d, v)) / Dot(v, v);

        var basis = PrincipalComponents.Fit(Collected([1, 5], [1, 6], [1, 7], [1, 8]), 3);
        Check.Same([3L, 64L], basis.Components.shape, "components");
        var identity = torch.mm(basis.Components, basis.Components.t());
        Check.That((identity - torch.eye(3)).abs().max().item<float>() < 1e-5, "components should be orthonormal");
        Check.Throws<ArgumentException>(() => PrincipalComponents.Fit(positives, 4), "1 … 3", "4");
        Check.Throws<ArgumentException>(
            () => ReadingVectors.PrincipalDirection(positives, Collected([1, 2])), "as many negatives as positives, 3", "1");
        Check.Throws<ArgumentException>(() => ReadingVectors.PrincipalDirection(positives, positives), "pairs that differ");
        Check.Throws<ArgumentException>(() => ReadingVectors.MeanDifference(
            model.Collect([new DataRow { InputIds = [1] }], Sites.BlockOutput(1, 2), Positions.All), positives), "one site", "At");
        Check.Throws<ArgumentException>(() => ReadingVectors.MeanDifference(
            positives, model.Collect([new DataRow { InputIds = [1] }], Sites.MlpActivation(1), Positions.All)), "width 64");

        CollectedActivations Collected(params int[][] prompts) =>
            model.Collect(prompts.Select(ids => new DataRow { InputIds = ids }), Sites.BlockOutput(2), Positions.Last(1));
    }

    private static void Penalty()
    {
        // The penalty alone decides a parameter that the loss does not see.
        var last = 0f;
        var shapes = new ParameterShapes { { "v", ParameterShapes.Width }, { "free", ParameterStart.Ones, 1 } };
        var probe = Interventions.FromFunc("probe", shapes, (p, h) =>
        {
            last = p["free"].item<float>();
            return (p["v"] * h) + (0 * p["free"]);
        });
        using var model = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), probe));
        var names = new List<string>();
        var penalty = new TrainingPenalty(0.5, p =>
        {
            names.AddRange(p.Keys);
            return p["layers.1.block_output.free"].square().sum();
        });
        var result = model.FitAsync(
            TinyLlama.Data, new TrainingOptions { BatchSize = 4, Epochs = 10, LearningRate = 5e-2, Penalty = penalty, EvaluationData = TinyLlama.Data })
            .GetAwaiter().GetResult();
        Check.Equal(model.Evaluate(TinyLlama.Data, 4), result.EvaluationLoss, "the evaluation leaves it out");
        Check.That(last is > -0.5f and < 0.5f, $"expected the penalty to shrink it, found {last}");
        Check.Same(["layers.1.block_output.free", "layers.1.block_output.v"], names.Distinct().Order(), "names");
        Check.Throws<ArgumentException>(() => _ = new TrainingPenalty(double.NaN, p => p["v"]), "finite weight");
    }
}
