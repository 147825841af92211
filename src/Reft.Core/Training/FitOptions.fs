namespace Reft.Core

/// <summary>How often something is done in a run.</summary>
[<RequireQualifiedAccess>]
type Interval =
    /// Every so many optimizer steps.
    | Steps of int
    /// At the end of every so many passes over the examples.
    | Epochs of int

/// <summary>Which of two values of a metric is the better one.</summary>
[<RequireQualifiedAccess>]
type Better =
    /// The smaller, as of a loss.
    | Lower
    /// The greater, as of an accuracy.
    | Higher

/// <summary>The metric by which the best parameters of a run are chosen, and by which it may stop early.</summary>
type Selection =
    {
        /// Its name among those that an evaluation gives, e.g. <c>loss</c>.
        Metric: string
        /// Which value is better.
        Better: Better
        /// By how much a value must be better than the best before, to count as such.
        MinDelta: float
        /// After how many evaluations in a row without a better value the run stops; <c>None</c> never stops it.
        Patience: int option
    }

/// <summary>A whole training run over a set of examples.</summary>
type FitOptions =
    {
        /// Passes over the examples.
        Epochs: int
        /// The steps of the run, whatever number of passes they are; <c>None</c> leaves it to <c>Epochs</c>.
        MaxSteps: int option
        /// Rows of a batch.
        BatchSize: int
        /// Batches of one optimizer step.
        Accumulate: int
        /// What each of them weighs.
        Weighting: BatchWeighting
        /// How the rows of an epoch are put into batches.
        Batching: Batching
        /// The largest learning rate, reached after warmup.
        LearningRate: float
        /// How the learning rate goes after it.
        Schedule: ScheduleShape
        /// How long it rises from 0.
        Warmup: Warmup
        /// The optimizer's constants.
        AdamW: AdamWOptions
        /// The largest gradient norm; <c>None</c> leaves gradients as they are.
        ClipNorm: float option
        /// What a loss or gradient that is not finite leads to.
        NonFinite: NonFinite
        /// Whether each epoch has an order of its own.
        Shuffle: bool
        /// On which side rows are padded.
        Padding: PaddingSide
        /// When the task is evaluated, besides at the end of the run.
        EvaluateEvery: Interval
        /// How the best parameters are chosen; <c>None</c> keeps the last ones alone.
        Selection: Selection option
    }
