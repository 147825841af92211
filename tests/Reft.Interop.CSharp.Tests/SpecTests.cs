using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Specs from C#: the sample of the documentation, notations, and what is refused.</summary>
public static class SpecTests
{
    /// <summary>Specs.</summary>
    [Tests]
    public static readonly Test Specs = Runner.TestList(
        "Specs",
        [
            Runner.TestCase("the documentation's sample describes itself", Sample),
            Runner.TestCase("all layers, named components, heads and shared parameters", Selections),
            Runner.TestCase("positions and layers read what they print", Notations),
            Runner.TestCase("what a model cannot do is refused", Refusals),
        ]);

    private static ReftDescription Described(ReftSpec spec)
    {
        using var model = ReftModel.Load(TinyLlama.Folder, spec);
        return model.Describe();
    }

    private static void Sample()
    {
        var shift = Interventions.FromFunc(
            "shift", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => p["v"] * h.tanh());
        var described = Described(new ReftSpec()
            .At(Sites.BlockOutput(0, 1, 2), Positions.First(7) + Positions.Last(7), Interventions.Loreft(rank: 4))
            .At(Sites.MlpOutput(3), Positions.All, (0.5 * Interventions.Loreft(4)) + shift));
        Check.Equal(4, described.Placements.Count, "placements");
        Check.Equal("(0.5 * loreft(rank=4) + custom \"shift\")", described.Placements[3].Intervention, "the mixture");
        Check.Equal((3 * 2 * 516) + 516 + 64, described.TrainableParameters, "trainable parameters");
        Check.That(described.TrainablePercent is > 0 and < 100, "a percentage");
    }

    private static void Selections()
    {
        var tied = new ReftSpec()
            .At(Sites.BlockOutput(Layers.All), Positions.First(1) + Positions.Last(1), Interventions.Loreft(2))
            .Tied();
        Check.Same(
            ["layers.0.block_output", "layers.1.block_output", "layers.2.block_output", "layers.3.block_output"],
            Described(tied).Placements.Select(p => p.Site),
            "all layers");
        Check.Equal(4 * 258, Described(tied).TrainableParameters, "one set per layer when tied");
        Check.Equal(8 * 258, Described(tied.Untied()).TrainableParameters, "two sets per layer when not");

        var shared = new ReftSpec().At(
            Sites.Named("mlp_output", Layers.Range(1, 2)), Positions.Last(1), Interventions.Loreft(2), sharedAs: "one");
        Check.Equal(258, Described(shared).TrainableParameters, "one set for all layers when shared");

        var heads = new ReftSpec().At(Sites.AttentionValue(1).Heads(1, 2), Positions.All, Interventions.Loreft(2));
        Check.Equal("layers.1.attention_value.heads.1-2", Described(heads).Placements.Single().Site, "heads");
        Check.Equal("layers.1.query.heads.0-0", Described(new ReftSpec().At(
            Sites.Parse("layers.1.query.heads.0-0"), Positions.All, Interventions.Loreft(1))).Placements.Single().Site, "a parsed site");
    }

    private static void Notations()
    {
        foreach (var text in new[] { "f7+l7", "all", "every2", "span3:5", "at0,4,9", "l1" })
        {
            Check.Equal(text, Positions.Parse(text).ToString(), "positions");
        }

        Check.Equal(Positions.First(7) + Positions.Last(7), Positions.Parse("f7+l7"), "positions");
        Check.Equal(Sites.MlpOutput(15).ToString(), Sites.Parse("model.layers[15].mlp.output").ToString(), "pyvene's name");
        Check.Equal(Sites.BlockOutput(7).ToString(), Sites.Parse("blocks.7.hook_resid_post").ToString(), "TransformerLens's name");
        Check.Equal("4,6,10", Layers.Parse("4;6;10").ToString(), "layers");
        Check.Equal("all", Layers.Parse("all").ToString(), "layers");
        Check.Throws<ArgumentException>(() => Positions.Parse("x7"), "x7");
        Check.Throws<ArgumentException>(() => Layers.Parse("4-6"), "4-6");
        Check.Throws<ArgumentException>(() => Layers.Of(), "Layers.All");
        Check.Throws<ArgumentException>(() => Sites.Named("block", Layers.All), "block_output");
        Check.Throws<ArgumentException>(() => Sites.BlockOutput(1).Heads(0, 1), "heads");
        Check.Throws<ArgumentException>(() => _ = new ParameterShapes { { "v", 4 }, { "v", 5 } }, "'v'");
        Check.Throws<ArgumentException>(() => _ = new ParameterShapes { { "v", -2 } }, "-2");
    }

    private static void Refusals()
    {
        var loreft = Interventions.Loreft(2);
        Refused(new ReftSpec().At(Sites.BlockOutput(4), Positions.All, loreft), "layers.4", "0 … 3");
        Refused(new ReftSpec().At(Sites.BlockOutput(1), Positions.All, Interventions.Loreft(65)), "65", "64");
        Refused(
            new ReftSpec().At(Sites.BlockOutput(1), Positions.First(2), loreft).At(Sites.BlockOutput(1), Positions.All, loreft),
            "layers.1.block_output", "token 0");
        Refused(new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), loreft, InterventionPhase.Decode), "last");
        Check.Throws<ArgumentException>(() => Interventions.Loreft(0), "rank");
        Check.Throws<ArgumentException>(() => Interventions.Loreft(2, "tahn"), "tanh");

        Check.Throws<ArgumentException>(() => ReftModel.Load(TinyLlama.Folder, new ModelOptions { Device = "gpu" }), "'gpu'", "cuda:N");

        // Positions that meet only in a short prompt are refused when one comes.
        var meeting = new ReftSpec()
            .At(Sites.BlockOutput(1), Positions.At(2), loreft)
            .At(Sites.BlockOutput(1), Positions.Last(1), loreft);
        using var model = ReftModel.Load(TinyLlama.Folder, meeting);
        Check.Equal(3, model.Score([1, 5, 9, 10]).LogProbs.Count, "a prompt in which they stay apart");
        Check.Throws<InvalidOperationException>(() => model.Score([1, 5, 9]), "meet in row 0");

        static void Refused(ReftSpec spec, params string[] parts) =>
            Check.Throws<ArgumentException>(() => ReftModel.Load(TinyLlama.Folder, spec), parts);
    }
}
