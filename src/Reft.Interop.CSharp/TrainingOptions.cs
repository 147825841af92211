namespace Reft;

/// <summary>How interventions are trained: AdamW, with a learning rate that rises in a warmup and then follows a schedule.</summary>
public sealed record TrainingOptions
{
    /// <summary>The largest learning rate.</summary>
    public double LearningRate { get; init; } = 9e-4;

    /// <summary>How it goes after the warmup.</summary>
    public LearningRateSchedule Schedule { get; init; } = LearningRateSchedule.Linear;

    /// <summary>Passes over the data.</summary>
    public int Epochs { get; init; } = 3;

    /// <summary>The steps of the run, whatever number of passes they are; null leaves it to <see cref="Epochs"/>.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>How many of the first rows are trained on; null is all.</summary>
    public int? MaxExamples { get; init; }

    /// <summary>Rows of a batch.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>How the rows of an epoch are put into batches.</summary>
    public TrainingBatching Batching { get; init; } = TrainingBatching.InOrder;

    /// <summary>
    /// Computes the activations of each so many blocks again in the backward pass instead of keeping those of all: a step takes
    /// about a third longer, and a deep model a fraction of the memory. 1 keeps least; null keeps all.
    /// </summary>
    public int? RecomputeEvery { get; init; }

    /// <summary>
    /// Computes the layers below the lowest intervention once for each row instead of in each epoch; null computes them again.
    /// </summary>
    public FrozenLayerCache? FrozenLayerCache { get; init; }

    /// <summary>Batches whose gradients make one step.</summary>
    public int GradientAccumulation { get; init; } = 1;

    /// <summary>What each of them weighs.</summary>
    public AccumulationWeighting AccumulationWeighting { get; init; } = AccumulationWeighting.ByTokens;

    /// <summary>The part of all steps in which the learning rate rises, 0 … 1.</summary>
    public double WarmupRatio { get; init; } = 0.1;

    /// <summary>The steps in which it rises, in place of <see cref="WarmupRatio"/>.</summary>
    public int? WarmupSteps { get; init; }

    /// <summary>Decoupled weight decay; it never acts on orthonormal maps and biases.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Gradients with a larger norm are scaled down to it; null leaves them as they are.</summary>
    public double? MaxGradientNorm { get; init; } = 1.0;

    /// <summary>
    /// How many steps in a row may be left out because their loss or gradient is infinite or not a number: such a step changes
    /// nothing but is counted. One more ends the run with <see cref="DivergenceException"/>; 0 is the first.
    /// </summary>
    public int SkipNonFiniteSteps { get; init; }

    /// <summary>
    /// Longer rows are cut to this many tokens: the completion is cut, the prompt is kept. The model's context where it is
    /// not given.
    /// </summary>
    public int? MaxLength { get; init; }

    /// <summary>The seed of the order of the rows.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>Whether each epoch has a random order of its own.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>What is added to the loss of a step, e.g. for gates that are to close.</summary>
    public TrainingPenalty? Penalty { get; init; }

    /// <summary>Rows that are only evaluated.</summary>
    public TrainingData? EvaluationData { get; init; }

    /// <summary>Steps between evaluations; where it is not given, <see cref="EvaluateEveryEpochs"/>.</summary>
    public int? EvaluateEvery { get; init; }

    /// <summary>Epochs between evaluations; 1 where neither is given. The run ends with one in any case.</summary>
    public int? EvaluateEveryEpochs { get; init; }

    /// <summary>How the best parameters are chosen, and whether the run stops early; null keeps the last ones.</summary>
    public BestModel? BestModel { get; init; }

    /// <summary>Where the run is saved on its way; null saves nothing.</summary>
    public TrainingCheckpoints? Checkpoints { get; init; }

    /// <summary>What is written down on the way, and where; null writes nothing and measures no edits.</summary>
    public TrainingLogging? Logging { get; init; }
}
