namespace Reft.Core

open System
open System.Collections.Generic
open System.Threading
open TorchSharp

/// <summary>Where a training run stands.</summary>
type FitProgress =
    {
        /// The step just taken. Its number is the optimizer's.
        Report: StepReport
        /// The number of the step in this run, from 1.
        Taken: int
        /// The number of steps of the whole run.
        TotalSteps: int
        /// Passes over the examples so far, with the fraction of the current one.
        Epoch: float
        /// What an evaluation gave, where this step ended with one; else empty.
        Evaluation: Metrics
    }

/// <summary>Why a run ended.</summary>
[<RequireQualifiedAccess>]
type FitEnd =
    /// All steps were taken.
    | Completed
    /// The monitored metric had not become better for long enough.
    | EarlyStopped
    /// It was cancelled.
    | Cancelled

/// <summary>How a training run ended.</summary>
[<NoEquality; NoComparison>]
type FitResult =
    {
        /// Where it stood; the caller's. Its parameters are the best, where a metric is monitored.
        State: FitState
        /// One entry per step that was taken here.
        History: FitProgress list
        /// Why it ended.
        End: FitEnd
    }

/// <summary>Training over epochs, with evaluation, progress, early stopping and cancellation.</summary>
[<RequireQualifiedAccess>]
module Fit =

    /// <summary>Three epochs of batches of 8 at the paper's learning rate, 9e-4, after a warmup of 10 % of the steps.</summary>
    let defaults: FitOptions =
        { Epochs = 3
          MaxSteps = None
          BatchSize = 8
          Accumulate = 1
          Weighting = BatchWeighting.ByTerms
          Batching = Batching.InOrder
          LearningRate = 9e-4
          Schedule = ScheduleShape.Linear
          Warmup = Warmup.Ratio 0.1
          AdamW = AdamW.defaults
          ClipNorm = Some 1.0
          NonFinite = NonFinite.Stop
          Shuffle = true
          Padding = PaddingSide.Right
          EvaluateEvery = Interval.Epochs 1
          Selection = None }

    /// <summary>Refuses what cannot be run, before anything is computed.</summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range, the dataset is empty or a row has nothing to learn from.</exception>
    let validate (options: FitOptions) (task: FitTask) : unit =
        let positive name value =
            if value < 1 then
                invalidArg name $"expected {name} ≥ 1, found {value}"

        positive "Epochs" options.Epochs
        options.MaxSteps |> Option.iter (positive "MaxSteps")
        positive "BatchSize" options.BatchSize
        positive "Accumulate" options.Accumulate

        match options.EvaluateEvery with
        | Interval.Steps n
        | Interval.Epochs n -> positive "EvaluateEvery" n

        match options.NonFinite with
        | NonFinite.Skip most -> positive "NonFinite.Skip" most
        | NonFinite.Stop -> ()

        match options.Selection with
        | Some selection ->
            selection.Patience |> Option.iter (positive "Patience")

            if task.Evaluate.IsNone then
                invalidArg
                    (nameof options)
                    $"'{selection.Metric}' is monitored, but nothing is evaluated: hold out examples"
        | None -> ()

        if task.Examples.Count = 0 then
            invalidArg "examples" "the dataset is empty: expected at least one example to train on"

        match task.Examples with
        | :? IMeasuredExamples -> ()
        | examples ->
            examples
            |> Seq.iteri (fun row example ->
                if example.ScoredCount = 0 then
                    invalidArg
                        "examples"
                        $"example {row} has no scored token and no label, or is a pair of equal rows, so there is nothing to learn from it: leave such rows out")

    /// Which rows make which batch of which step: a function of the step alone, so that a run can go on from any.
    type private Course(options: FitOptions, task: FitTask, rng: Rng) =
        let lengths: IReadOnlyList<int> =
            match task.Examples with
            | :? IMeasuredExamples as measured -> measured.Lengths
            | examples -> examples |> Seq.map (fun example -> example.Length) |> Seq.toArray :> _

        let plan epoch =
            let order = if options.Shuffle then Some(Rng.fork epoch rng) else None

            // Each epoch is chunked alone, so that no step mixes two epochs.
            Batching.plan options.Batching options.BatchSize order lengths
            |> Array.chunkBySize options.Accumulate

        // The step after the last of each epoch, of those that were asked for.
        let ends = ResizeArray<int64>()
        let mutable current = struct (-1, [||])

        let planned epoch =
            match current with
            | struct (known, steps) when known = epoch -> steps
            | _ ->
                let steps = plan epoch
                current <- struct (epoch, steps)
                steps

        // Only packing makes another number of batches of each order: other epochs are counted without being planned.
        let stepsOf epoch =
            match options.Batching with
            | Batching.Packed _ -> (planned epoch).Length
            | Batching.InOrder
            | Batching.ByLength _ ->
                let parts whole part = (whole + part - 1L) / part
                let batches = parts (int64 lengths.Count) (int64 options.BatchSize)
                int (parts batches (int64 options.Accumulate))

        let firstOf epoch =
            while ends.Count < epoch do
                let before = if ends.Count = 0 then 0L else ends[ends.Count - 1]
                ends.Add(before + int64 (stepsOf ends.Count))

            if epoch = 0 then 0L else ends[epoch - 1]

        /// The number of steps.
        member _.Total: int =
            match options.MaxSteps with
            | Some steps -> steps
            | None ->
                let steps = firstOf options.Epochs

                if steps > int64 Int32.MaxValue then
                    invalidArg (nameof options) $"{options.Epochs} epochs are {steps} steps, more than a run can count"

                int steps

        /// The epoch of a step, the number of the step in it, both from 0, and the epoch's number of steps.
        member _.Place(step: int) : struct (int * int * int) =
            let mutable epoch = 0

            while firstOf (epoch + 1) <= int64 step do
                epoch <- epoch + 1

            let first = firstOf epoch
            struct (epoch, int (int64 step - first), int (firstOf (epoch + 1) - first))

        /// The batches of a step.
        member course.Batches(step: int) : Batch[] =
            let struct (epoch, number, _) = course.Place step

            (planned epoch)[number]
            |> Array.map (
                Array.map (fun row -> task.Examples[row])
                >> Array.toList
                >> Batching.batch options.Batching options.Padding
            )

        /// Whether a run is evaluated after so many steps.
        member course.Evaluates(taken: int) : bool =
            taken = course.Total
            || match options.EvaluateEvery with
               | Interval.Steps every -> taken % every = 0
               | Interval.Epochs every ->
                   let struct (epoch, number, steps) = course.Place(taken - 1)
                   number = steps - 1 && (epoch + 1) % every = 0

        /// Passes over the examples after so many steps.
        member course.Epochs(taken: int) : float =
            let struct (epoch, number, steps) = course.Place(taken - 1)
            float epoch + float (number + 1) / float steps

    let private improves (selection: Selection) (best: BestSoFar option) value =
        match best with
        | None -> not (Double.IsNaN value)
        | Some best ->
            match selection.Better with
            | Better.Lower -> value < best.Value - selection.MinDelta
            | Better.Higher -> value > best.Value + selection.MinDelta

    /// The state with an evaluation taken into account: a better one replaces the best.
    let private judge (selection: Selection option) (evaluation: Metrics) (state: FitState) =
        match selection with
        | Some selection when not evaluation.IsEmpty ->
            let value =
                match evaluation |> List.tryFind (fun (name, _) -> name = selection.Metric) with
                | Some(_, value) -> value
                | None ->
                    let found = evaluation |> List.map fst |> String.concat ", "

                    invalidArg
                        "options"
                        $"'{selection.Metric}' is monitored, but the evaluation gives no such metric: expected one of {found}"

            if improves selection state.Best value then
                state.Best |> Option.iter (fun best -> best.Theta.Dispose())

                { state with
                    Best =
                        Some
                            { Step = state.Taken
                              Value = value
                              Theta = state.Train.Theta.clone().DetachFromDisposeScope() }
                    Stale = 0 }
            else
                { state with Stale = state.Stale + 1 }
        | _ -> state

    let private evaluate (task: FitTask) (state: FitState) : Metrics =
        match task.Evaluate with
        | None -> []
        | Some evaluate ->
            use _ = torch.no_grad ()
            use _ = torch.NewDisposeScope()
            evaluate state.Train.Parameters

    let private lostPatience (selection: Selection option) (state: FitState) =
        selection
        |> Option.bind _.Patience
        |> Option.exists (fun patience -> state.Stale >= patience)

    /// <summary>
    /// Goes on with a run from where it stood: bit for bit what it would have been without the break, on the same machine, with
    /// the same options and task. The given state is used up: the result's is the caller's.
    /// </summary>
    /// <param name="options">The run.</param>
    /// <param name="task">What it learns.</param>
    /// <param name="report">
    /// Called after each step, on the training thread; the state is valid within the call, and tensors that it makes are freed
    /// after it unless they are detached from their scope.
    /// </param>
    /// <param name="cancel">Looked at before each step.</param>
    /// <param name="state">Where it stood.</param>
    /// <exception cref="T:System.ArgumentException">An option is out of range, the dataset is empty or a row has nothing to learn from.</exception>
    /// <exception cref="T:Reft.Core.TrainingDivergedException">The loss or the gradient is not finite.</exception>
    let resume
        (options: FitOptions)
        (task: FitTask)
        (report: FitProgress -> FitState -> unit)
        (cancel: CancellationToken)
        (state: FitState)
        : FitResult =
        let mutable current = state

        try
            validate options task
            let course = Course(options, task, state.Train.Rng)
            let total = course.Total

            // The schedule belongs to this run, whatever steps the optimizer has behind it.
            let before = state.Train.Step - state.Taken

            let schedule =
                Schedule.ofShape options.Schedule (Schedule.warmup options.Warmup total) total

            let trainer =
                { LearningRate = options.LearningRate
                  Schedule = fun step -> schedule (step - before)
                  AdamW = options.AdamW
                  ClipNorm = options.ClipNorm
                  Accumulate = options.Accumulate
                  Weighting = options.Weighting
                  NonFinite = options.NonFinite }

            let history = ResizeArray<FitProgress>()

            while not cancel.IsCancellationRequested
                  && current.Taken < total
                  && not (lostPatience options.Selection current) do
                let struct (step, next) =
                    Trainer.step trainer task.Loss (course.Batches current.Taken) current.Train

                current <-
                    { current with
                        Train = TrainState.replace next current.Train
                        Taken = current.Taken + 1
                        Skipped = if step.Skipped then current.Skipped + 1 else 0 }

                match options.NonFinite with
                | NonFinite.Skip most when current.Skipped > most ->
                    raise (
                        TrainingDivergedException(
                            step.Step,
                            $"{current.Skipped} steps in a row were not finite, and at most {most} are skipped"
                        )
                    )
                | _ -> ()

                let evaluation =
                    if course.Evaluates current.Taken then
                        evaluate task current
                    else
                        []

                current <- judge options.Selection evaluation current

                let progress =
                    { Report = step
                      Taken = current.Taken
                      TotalSteps = total
                      Epoch = course.Epochs current.Taken
                      Evaluation = evaluation }

                history.Add progress
                // What a report looks at, such as the parameters, holds their memory no longer than the call.
                Scope.free (fun () -> report progress current)

            { State = current
              History = List.ofSeq history
              End =
                if current.Taken >= total then
                    FitEnd.Completed
                elif lostPatience options.Selection current then
                    FitEnd.EarlyStopped
                else
                    FitEnd.Cancelled }
        with _ ->
            FitState.dispose current
            reraise ()

    /// <summary>Runs it from the start. The given state stays as it was.</summary>
    /// <param name="options">The run.</param>
    /// <param name="task">What it learns.</param>
    /// <param name="report">
    /// Called after each step, on the training thread; the state is valid within the call, and tensors that it makes are freed
    /// after it unless they are detached from their scope.
    /// </param>
    /// <param name="cancel">Looked at before each step.</param>
    /// <param name="state">Where it starts.</param>
    /// <exception cref="T:System.ArgumentException">An option is out of range, the dataset is empty or a row has nothing to learn from.</exception>
    /// <exception cref="T:Reft.Core.TrainingDivergedException">The loss or the gradient is not finite.</exception>
    let run
        (options: FitOptions)
        (task: FitTask)
        (report: FitProgress -> FitState -> unit)
        (cancel: CancellationToken)
        (state: TrainState)
        : FitResult =
        FitState.start state |> resume options task report cancel
