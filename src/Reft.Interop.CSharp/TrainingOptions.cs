namespace Reft;

/// <summary>How interventions are trained: AdamW, with a learning rate that rises in a warmup and then falls linearly to 0.</summary>
public sealed record TrainingOptions
{
    /// <summary>The largest learning rate.</summary>
    public double LearningRate { get; init; } = 9e-4;

    /// <summary>Passes over the data.</summary>
    public int Epochs { get; init; } = 3;

    /// <summary>The steps of the run, whatever number of passes they are; null leaves it to <see cref="Epochs"/>.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Rows of a batch.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Batches whose gradients make one step, each scored token weighing the same.</summary>
    public int GradientAccumulation { get; init; } = 1;

    /// <summary>The part of all steps in which the learning rate rises, 0 … 1.</summary>
    public double WarmupRatio { get; init; } = 0.1;

    /// <summary>Decoupled weight decay; it never acts on orthonormal maps and biases.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Gradients with a larger norm are scaled down to it; null leaves them as they are.</summary>
    public double? MaxGradientNorm { get; init; } = 1.0;

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

    /// <summary>Steps between evaluations; each epoch ends with one where it is not given.</summary>
    public int? EvaluateEvery { get; init; }

    /// <summary>What is written down on the way, and where; null writes nothing and measures no edits.</summary>
    public TrainingLogging? Logging { get; init; }
}
