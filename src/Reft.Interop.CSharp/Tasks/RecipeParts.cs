using System.Globalization;
using Reft.Internal;

namespace Reft;

/// <summary>What a recipe trains: an intervention at the outputs of blocks, or LoRA or DoRA on the model itself.</summary>
public sealed record RecipeMethod
{
    /// <summary><c>lora</c>, <c>dora</c>, or an intervention of <see cref="Interventions.Named"/>, e.g. <c>loreft</c>, <c>direft_paper</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Its rank; null where it is not known.</summary>
    public int? Rank { get; init; }

    /// <summary>The layers whose outputs are edited.</summary>
    public Layers Layers { get; init; } = Layers.All;

    /// <summary>The tokens of the prompt that are edited; null where it is not known.</summary>
    public Positions? Positions { get; init; }

    /// <summary>Whether prefix and suffix share parameters.</summary>
    public bool Tied { get; init; }

    /// <summary>What becomes of positions in short prompts; pyreft's rule is that of the paper's runs.</summary>
    public ShortPromptRule ShortPrompts { get; init; } = ShortPromptRule.Pyreft;

    /// <summary>The dropout rate: of the edited output, as in pyreft; of the inputs of LoRA.</summary>
    public double? Dropout { get; init; }

    /// <summary>LoRA's α.</summary>
    public double? Alpha { get; init; }

    /// <summary>LoRA's maps.</summary>
    public IReadOnlyList<string> Modules { get; init; } = [];

    /// <summary>More options of an intervention, e.g. <c>orthonormal</c>.</summary>
    public IReadOnlyDictionary<string, string> Options { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether the model itself is tuned.</summary>
    public bool IsTuning => Name is "lora" or "dora";

    /// <summary>The interventions in their places; empty where the model itself is tuned.</summary>
    /// <exception cref="ArgumentException">There is no such method, or an option is not one of its.</exception>
    public ReftSpec ToSpec() =>
        IsTuning
            ? new ReftSpec()
            : new ReftSpec()
                .At(
                    Sites.BlockOutput(Layers),
                    Positions ?? throw new InvalidOperationException("the recipe does not know method.positions"),
                    Dropout > 0 ? Intervention().DropoutOutput(Dropout.Value) : Intervention(),
                    tying: Tied ? ParameterTying.Tied : ParameterTying.Groups)
                .WithShortPromptRule(ShortPrompts);

    /// <summary>How the model itself is tuned; null where it is not.</summary>
    /// <exception cref="ArgumentException">A number is out of range.</exception>
    public Tuning? ToTuning() =>
        Name switch
        {
            "lora" => Tuning.Lora(NeededRank(), Alpha, Modules, Dropout ?? 0),
            "dora" => Tuning.Dora(NeededRank(), Alpha, Modules, Dropout ?? 0),
            _ => null,
        };

    /// <summary>
    /// The trainable numbers of the interventions on a model of this shape, without a model; null where the model itself is
    /// tuned.
    /// </summary>
    /// <param name="hiddenSize">The width of the residual stream.</param>
    /// <param name="layerCount">The model's number of blocks.</param>
    /// <exception cref="ArgumentException">The rank exceeds the width.</exception>
    public long? CountParameters(int hiddenSize, int layerCount)
    {
        if (IsTuning)
        {
            return null;
        }

        LibTorch.Load();
        using var scope = TorchSharp.torch.NewDisposeScope();
        var one = Intervention().Value.Init.Invoke(hiddenSize).Invoke(Core.RngModule.ofSeed(0));
        var groups = Core.PositionsModule.groups(
            (Tied ? ParameterTying.Tied : ParameterTying.Groups).ToCore(), Positions!.Value).Length;
        return one.TrainableCount * groups * Layers.In(layerCount).Count();
    }

    private ReftIntervention Intervention() =>
        Interventions.Named(
            Name,
            [KeyValuePair.Create("rank", NeededRank().ToString(CultureInfo.InvariantCulture)), .. Options]);

    private int NeededRank() => Rank ?? throw new InvalidOperationException("the recipe does not know method.rank");
}

/// <summary>How a recipe trains. What is null is not known; see <see cref="Recipe.Unknown"/>.</summary>
public sealed record RecipeTraining
{
    /// <summary>The largest learning rate.</summary>
    public double? LearningRate { get; init; }

    /// <summary>How it goes after the warmup.</summary>
    public LearningRateSchedule Schedule { get; init; } = LearningRateSchedule.Linear;

    /// <summary>The part of all steps in which it rises.</summary>
    public double? WarmupRatio { get; init; }

    /// <summary>The steps in which it rises, in place of a part.</summary>
    public int? WarmupSteps { get; init; }

    /// <summary>Weight decay, as set. pyreft's has no effect on interventions; here it acts.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>Rows of a batch.</summary>
    public int? BatchSize { get; init; }

    /// <summary>Batches of a step.</summary>
    public int? Accumulation { get; init; }

    /// <summary>Passes over the data.</summary>
    public int? Epochs { get; init; }

    /// <summary>Longer rows are cut to so many tokens.</summary>
    public int? MaxLength { get; init; }

    /// <summary>How many rows, drawn by the seed, are trained on; null is all.</summary>
    public int? MaxExamples { get; init; }

    /// <summary>The same for training, with a seed and no more tokens than a model's context.</summary>
    public TrainingOptions ToOptions(long seed, int contextLength) =>
        new()
        {
            LearningRate = Needed(LearningRate, "learning_rate"),
            Schedule = Schedule,
            WarmupRatio = WarmupSteps is null ? Needed(WarmupRatio, "warmup_ratio") : 0,
            WarmupSteps = WarmupSteps,
            WeightDecay = Needed(WeightDecay, "weight_decay"),
            BatchSize = Needed(BatchSize, "batch_size"),
            GradientAccumulation = Needed(Accumulation, "accumulation"),
            AccumulationWeighting = AccumulationWeighting.Equal,
            Epochs = Needed(Epochs, "epochs"),
            MaxLength = Math.Min(Needed(MaxLength, "max_length"), contextLength),
            Seed = seed,
        };

    private static T Needed<T>(T? value, string key)
        where T : struct =>
        value ?? throw new InvalidOperationException($"the recipe does not know training.{key}");
}

/// <summary>How answers are decoded.</summary>
public sealed record RecipeDecoding
{
    /// <summary>New tokens at most; null where <see cref="MaxLength"/> bounds them.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Tokens of prompt and answer together at most.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Beams of a beam search; 1 is none.</summary>
    public int Beams { get; init; } = 1;

    /// <summary>The temperature of sampling; null decodes greedily.</summary>
    public double? Temperature { get; init; }

    /// <summary>Sampling from the likeliest tokens of this share.</summary>
    public double? TopP { get; init; }

    /// <summary>Sampling from so many of the likeliest tokens.</summary>
    public int? TopK { get; init; }

    /// <summary>Sequences of so many tokens do not come twice; null lets them.</summary>
    public int? NoRepeatNgram { get; init; }

    /// <summary>The factor by which tokens that have come are made less likely; 1 is none.</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>The same for generating.</summary>
    /// <param name="newTokens">New tokens at most.</param>
    /// <param name="batchSize">Rows that are generated together.</param>
    /// <param name="seed">The seed of sampling.</param>
    public GenerationOptions ToOptions(int newTokens, int batchSize, long seed) =>
        new()
        {
            MaxNewTokens = newTokens,
            BatchSize = batchSize,
            RepetitionPenalty = RepetitionPenalty,
            NoRepeatNgram = NoRepeatNgram ?? 0,
            Beams = Beams > 1 ? new BeamOptions { Count = Beams, EarlyStopping = EarlyStopping.Full } : null,
            Sampling = Temperature is null && TopP is null && TopK is null
                ? null
                : new SamplingOptions { Temperature = Temperature ?? 1, TopP = TopP, TopK = TopK, Seed = seed },
        };

    /// <summary>New tokens after a prompt, within a model's context.</summary>
    internal int NewTokens(int promptLength, int contextLength) =>
        Math.Min(MaxNewTokens ?? Math.Max(0, MaxLength!.Value - promptLength), contextLength - promptLength);
}

/// <summary>What the paper reports for a recipe.</summary>
/// <param name="Source">Where, e.g. <c>arXiv 2404.03592, Table 1</c>.</param>
/// <param name="ParametersPercent">Trainable numbers per hundred weights of the model; null where it does not say.</param>
/// <param name="Scores">The score of each data set, in per cent.</param>
/// <param name="Average">Their mean as the paper has it.</param>
public sealed record PaperFigures(
    string Source, double? ParametersPercent, IReadOnlyDictionary<string, double> Scores, double? Average);
