namespace Reft;

/// <summary>Where a training run stands after a step.</summary>
public sealed record TrainingProgress
{
    /// <summary>The number of the step, from 1.</summary>
    public required int Step { get; init; }

    /// <summary>The steps of the whole run.</summary>
    public required int TotalSteps { get; init; }

    /// <summary>Passes over the data so far, with the fraction of the current one.</summary>
    public required double Epoch { get; init; }

    /// <summary>The mean loss of the step's scored tokens, before the step.</summary>
    public required double Loss { get; init; }

    /// <summary>The learning rate that the step used.</summary>
    public required double LearningRate { get; init; }

    /// <summary>The norm of the gradient, before it was scaled down.</summary>
    public required double GradientNorm { get; init; }

    /// <summary>Tokens read per second since the run began, without padding.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>The time since the run began.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The time that the rest will take at the speed so far.</summary>
    public required TimeSpan Remaining { get; init; }

    /// <summary>Whether its loss or gradient was not finite, so that it changed nothing.</summary>
    public bool Skipped { get; init; }

    /// <summary>The metrics of the evaluation data by name, where the step ended with an evaluation; else empty.</summary>
    public IReadOnlyDictionary<string, double> Evaluation { get; init; } = new Dictionary<string, double>();

    /// <summary>The loss on the evaluation data, where the step ended with an evaluation.</summary>
    public double? EvaluationLoss => Evaluation.TryGetValue("loss", out var loss) ? loss : null;

    /// <summary>
    /// How far hidden states are moved after this step, by site and position, where <see cref="TrainingOptions.Logging"/> asks
    /// for it; else empty.
    /// </summary>
    public IReadOnlyList<EditMeasurement> EditNorms { get; init; } = [];
}

/// <summary>Why a training run ended.</summary>
public enum TrainingEnd
{
    /// <summary>All steps were taken.</summary>
    Completed,

    /// <summary>The metric had not become better for as long as <see cref="BestModel.Patience"/> says.</summary>
    EarlyStopped,

    /// <summary>It was cancelled.</summary>
    Cancelled,
}

/// <summary>How a training run ended.</summary>
public sealed record TrainingResult
{
    /// <summary>One entry per step, those before a break included.</summary>
    public required IReadOnlyList<TrainingProgress> History { get; init; }

    /// <summary>Whether it was cancelled before its end; the model then has the parameters of the last step taken, or the best.</summary>
    public required bool Cancelled { get; init; }

    /// <summary>Why it ended.</summary>
    public TrainingEnd End { get; init; }

    /// <summary>From where it went on; null if it started afresh.</summary>
    public TrainingResumption? Resumed { get; init; }

    /// <summary>The best evaluation, whose parameters the model has; null where none is chosen.</summary>
    public BestEvaluation? Best { get; init; }

    /// <summary>What to know about the run; empty if all is well.</summary>
    public IReadOnlyList<string> Warnings => Resumed?.Warnings ?? [];

    /// <summary>Rows that were trained on.</summary>
    public required int TrainedRows { get; init; }

    /// <summary>Rows that were left out because none of their tokens is scored, e.g. after they were cut.</summary>
    public required int SkippedRows { get; init; }

    /// <summary>Rows of the evaluation data that were left out for the same reason.</summary>
    public required int SkippedEvaluationRows { get; init; }

    /// <summary>The numbers of the interventions that were trained.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>The numbers of a classification head that were trained with them.</summary>
    public long HeadParameters { get; init; }

    /// <summary>All that was measured: what <see cref="TrainingReport"/> shows, and what a log file holds.</summary>
    public TrainingLog Log { get; init; } = new();

    /// <summary>Why the log file or TensorBoard's is not complete, e.g. a full disk; null where it is.</summary>
    public string? LogProblem { get; init; }

    /// <summary>How long it took.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>The loss of the last step; null if there was none.</summary>
    public double? FinalLoss => History is [.., var last] ? last.Loss : null;

    /// <summary>The last loss on the evaluation data; null if there was none.</summary>
    public double? EvaluationLoss => History.LastOrDefault(step => step.EvaluationLoss is not null)?.EvaluationLoss;
}
