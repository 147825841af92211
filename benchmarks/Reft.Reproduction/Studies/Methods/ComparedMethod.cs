namespace Reft.Reproduction;

/// <summary>A way to adapt a model, as the comparison has it.</summary>
/// <param name="Name">Its name in keys.</param>
/// <param name="Title">Its name in tables.</param>
/// <param name="Family">Methods of one family share a grid of learning rates.</param>
/// <param name="Attach">Puts it on a model whose head is there, as the settings of a run say.</param>
internal sealed record ComparedMethod(string Name, string Title, RateFamily Family, Action<ReftModel, RunKey> Attach);

/// <summary>
/// Grids of learning rates, a factor of about 3 apart. All have the same number of rates. The head is trained at the same rate as
/// the method, which bounds it from above for all.
/// </summary>
internal enum RateFamily
{
    /// <summary>Every weight of the model.</summary>
    Weights,

    /// <summary>Maps of low rank that act on activations or weights.</summary>
    Maps,

    /// <summary>What begins where it does nothing or little, and has to move far: biases, scales, prefixes, a head alone.</summary>
    Vectors,
}

/// <summary>The methods that are compared.</summary>
internal static class ComparedMethods
{
    /// <summary>What the others are tested against.</summary>
    public const string Reference = "loreft";

    private const int LoraRank = 8;

    // What the paper's LoRA adapts in its comparisons of few parameters.
    private static readonly string[] LoraMaps = ["q_proj", "v_proj"];

    public static IReadOnlyList<ComparedMethod> All { get; } =
    [
        Edit("loreft", "LoReFT", rank => Interventions.Loreft(rank)),
        Tuned("lora", "LoRA", () => Tuning.Lora(LoraRank, modules: LoraMaps)),
        new("probe", "probe (head alone)", RateFamily.Vectors, (_, _) => { }),
        Tuned("full", "full", Tuning.Full, RateFamily.Weights),
        new("loreft-all", "LoReFT, every token", RateFamily.Maps, (model, key) => model.Attach(
            new ReftSpec().At(Sites.BlockOutput(Layers.All), Positions.All, Interventions.Loreft(key.Count("rank"))), SeedOf(key))),
        Edit("direft", "DiReFT", rank => Interventions.DireftPaper(rank, bias: true)),
        Edit("noreft", "NoReFT", rank => Interventions.Noreft(rank)),
        Edit("consreft", "ConsReFT", rank => Interventions.Consreft(rank)),
        new("red", "RED", RateFamily.Vectors, (model, _) => model.Attach(
            new ReftSpec().At(Sites.MlpOutput(Layers.All), Positions.All, Interventions.Red()))),
        Tuned("dora", "DoRA", () => Tuning.Dora(LoraRank, modules: LoraMaps)),
        Tuned("bitfit", "BitFit", Tuning.BitFit, RateFamily.Vectors),
        Tuned("prefix", "prefix tuning", () => Tuning.Prefix(10), RateFamily.Vectors),
    ];

    public static ComparedMethod Named(string name) => All.Single(method => method.Name == name);

    /// <summary>The rates that are tried, the same number for all families.</summary>
    public static IReadOnlyList<string> Rates(RateFamily family, Scope scope)
    {
        string[] all = family switch
        {
            RateFamily.Weights => ["1e-4", "3e-4", "1e-3", "3e-3", "1e-2"],
            RateFamily.Vectors => ["1e-3", "3e-3", "1e-2", "3e-2", "1e-1"],
            _ => ["3e-4", "1e-3", "3e-3", "1e-2", "3e-2"],
        };
        return scope == Scope.Smoke ? all[2..3] : all;
    }

    // That of the first seed is what Attach takes where none is given.
    private static long SeedOf(RunKey key) => 41 + key.Seed;

    // The paper's places: the outputs of all layers, at the first and the last tokens, one set of parameters for both.
    private static ComparedMethod Edit(string name, string title, Func<int, ReftIntervention> intervention) =>
        new(name, title, RateFamily.Maps, (model, key) => model.Attach(
            new ReftSpec()
                .At(Sites.BlockOutput(Layers.All), Positions.Parse(key["positions"]), intervention(key.Count("rank")))
                .Tied(),
            SeedOf(key)));

    private static ComparedMethod Tuned(
        string name, string title, Func<Tuning> tuning, RateFamily family = RateFamily.Maps) =>
        new(name, title, family, (model, key) => model.AttachTuning(tuning(), key.Seed));
}
