namespace Reft.Core

open System.Threading

/// <summary>A whole training run over a set of examples.</summary>
type FitOptions =
    {
        /// Passes over the examples.
        Epochs: int
        /// Rows of a batch.
        BatchSize: int
        /// Batches of one optimizer step.
        Accumulate: int
        /// The largest learning rate, reached after warmup; it then falls linearly to 0.
        LearningRate: float
        /// The part of all steps in which the learning rate rises from 0.
        WarmupRatio: float
        /// The optimizer's constants.
        AdamW: AdamWOptions
        /// The largest gradient norm; <c>None</c> leaves gradients as they are.
        ClipNorm: float option
        /// Whether each epoch has an order of its own.
        Shuffle: bool
        /// On which side rows are padded.
        Padding: PaddingSide
        /// Optimizer steps between evaluations; <c>None</c> evaluates at the end of each epoch.
        EvaluateEvery: int option
    }

/// <summary>Where a training run stands.</summary>
type FitProgress =
    {
        /// The step just taken.
        Report: StepReport
        /// The number of steps of the whole run.
        TotalSteps: int
        /// Passes over the examples so far, with the fraction of the current one.
        Epoch: float
        /// The loss on the evaluation examples, where this step ended with an evaluation.
        Evaluation: float option
    }

/// <summary>How a training run ended.</summary>
[<NoEquality; NoComparison>]
type FitResult =
    {
        /// The last state; the caller's.
        State: TrainState
        /// One entry per step.
        History: FitProgress list
        /// Whether it was cancelled before its end.
        Cancelled: bool
    }

/// <summary>Training over epochs, with evaluation, progress and cancellation.</summary>
[<RequireQualifiedAccess>]
module Fit =

    /// <summary>Three epochs of batches of 8 at the paper's learning rate, 9e-4, after a warmup of 10 % of the steps.</summary>
    let defaults: FitOptions =
        { Epochs = 3
          BatchSize = 8
          Accumulate = 1
          LearningRate = 9e-4
          WarmupRatio = 0.1
          AdamW = AdamW.defaults
          ClipNorm = Some 1.0
          Shuffle = true
          Padding = PaddingSide.Right
          EvaluateEvery = None }

    /// <summary>The optimizer steps of one epoch.</summary>
    let stepsPerEpoch (options: FitOptions) (examples: int) : int =
        let rows = int64 options.BatchSize * int64 options.Accumulate
        int ((int64 examples + rows - 1L) / rows)

    let private check options (examples: Example[]) =
        let positive name value =
            if value < 1 then
                invalidArg name $"expected {name} ≥ 1, found {value}"

        positive "Epochs" options.Epochs
        positive "BatchSize" options.BatchSize
        positive "Accumulate" options.Accumulate
        options.EvaluateEvery |> Option.iter (positive "EvaluateEvery")

        if examples.Length = 0 then
            invalidArg (nameof examples) "the dataset is empty: expected at least one example to train on"

        examples
        |> Array.iteri (fun row example ->
            if example.ScoredCount = 0 then
                invalidArg
                    (nameof examples)
                    $"example {row} has no scored token and no label, so there is nothing to learn from it: leave such rows out")

    /// <summary>Runs it. The given state stays as it was; a cancelled run gives the last state it reached.</summary>
    /// <param name="options">The run.</param>
    /// <param name="loss">What it minimises.</param>
    /// <param name="examples">What it trains on; each must have a scored token.</param>
    /// <param name="evaluation">Examples that are only evaluated; may be empty.</param>
    /// <param name="report">Called after each step, on the training thread.</param>
    /// <param name="cancel">Looked at before each step.</param>
    /// <param name="state">Where it starts.</param>
    /// <exception cref="T:System.ArgumentException">An option is out of range, the dataset is empty or a row has nothing to learn from.</exception>
    /// <exception cref="T:Reft.Core.TrainingDivergedException">The loss or the gradient is not finite.</exception>
    let run
        (options: FitOptions)
        (loss: Loss)
        (examples: Example[])
        (evaluation: Example[])
        (report: FitProgress -> TrainState -> unit)
        (cancel: CancellationToken)
        (state: TrainState)
        : FitResult =
        check options examples
        let perEpoch = stepsPerEpoch options examples.Length

        if int64 options.Epochs * int64 perEpoch > int64 System.Int32.MaxValue then
            invalidArg (nameof options) $"{options.Epochs} epochs of {perEpoch} steps are more than a run can count"

        let total = options.Epochs * perEpoch

        // The schedule belongs to this run, whatever steps the state has behind it.
        let schedule =
            Schedule.linear (Schedule.warmupSteps options.WarmupRatio total) total

        let before = state.Step

        let trainer =
            { LearningRate = options.LearningRate
              Schedule = fun step -> schedule (step - before)
              AdamW = options.AdamW
              ClipNorm = options.ClipNorm
              Accumulate = options.Accumulate }

        let batchesOf epoch =
            let order =
                if options.Shuffle then
                    Some(Rng.fork epoch state.Rng)
                else
                    None

            Batch.epoch options.Padding options.BatchSize order examples

        let evaluate (state: TrainState) =
            evaluation
            |> Batch.epoch options.Padding options.BatchSize None
            |> Trainer.evaluate loss state.Parameters

        let evaluates step =
            evaluation.Length > 0
            && (step = total
                || step % (options.EvaluateEvery |> Option.defaultValue perEpoch) = 0)

        // Each epoch is chunked alone, so that no step mixes two epochs.
        let groups =
            seq { 0 .. options.Epochs - 1 }
            |> Seq.collect (fun epoch -> batchesOf epoch |> Seq.chunkBySize options.Accumulate)

        let history = ResizeArray<FitProgress>()
        let mutable current = TrainState.copy state
        use groups = groups.GetEnumerator()

        try
            while not cancel.IsCancellationRequested && groups.MoveNext() do
                let struct (step, next) = Trainer.step trainer loss groups.Current current
                TrainState.dispose current
                current <- next
                let taken = history.Count + 1

                let progress =
                    { Report = step
                      TotalSteps = total
                      Epoch = float taken / float perEpoch
                      Evaluation = if evaluates taken then Some(evaluate next) else None }

                history.Add progress
                report progress next

            { State = current
              History = List.ofSeq history
              Cancelled = history.Count < total }
        with _ ->
            TrainState.dispose current
            reraise ()
