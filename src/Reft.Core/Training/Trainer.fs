namespace Reft.Core

open System
open TorchSharp

/// <summary>What each of the batches of one optimizer step weighs.</summary>
[<RequireQualifiedAccess>]
type BatchWeighting =
    /// As many as its scored tokens or labelled rows: together they are one large batch.
    | ByTerms
    /// The same as every other, as in pyreft, whose trainer takes the mean of the batches' means.
    | Equal

/// <summary>What a loss or gradient that is infinite or not a number leads to.</summary>
[<RequireQualifiedAccess>]
type NonFinite =
    /// The run ends with <see cref="T:Reft.Core.TrainingDivergedException"/>.
    | Stop
    /// The step changes nothing but is counted; more of them in a row than this end the run.
    | Skip of most: int

/// <summary>How an optimizer step is taken.</summary>
[<NoEquality; NoComparison>]
type TrainerOptions =
    {
        /// The learning rate where the schedule is 1.
        LearningRate: float
        /// Its factor per step.
        Schedule: Schedule
        /// The optimizer's constants.
        AdamW: AdamWOptions
        /// The largest gradient norm; <c>None</c> leaves gradients as they are.
        ClipNorm: float option
        /// Batches whose gradients make one step.
        Accumulate: int
        /// What each of them weighs.
        Weighting: BatchWeighting
        /// What a loss or gradient that is not finite leads to.
        NonFinite: NonFinite
    }

/// <summary>What one optimizer step did.</summary>
type StepReport =
    {
        /// The number of the step, from 1.
        Step: int
        /// The mean loss of its scored tokens or labelled rows, before the step.
        Loss: float
        /// The norm of the gradient, before clipping.
        GradientNorm: float
        /// The learning rate it used.
        LearningRate: float
        /// Tokens it read, without padding.
        Tokens: int
        /// Whether its loss or gradient was not finite, so that it changed nothing.
        Skipped: bool
    }

/// <summary>The loss or its gradient became infinite or not a number. The state before the step is intact.</summary>
type TrainingDivergedException(step: int, what: string) =
    inherit
        Exception(
            $"training diverged at step {step}: {what}. Lower the learning rate, add warmup or clip gradients; the parameters before this step are intact."
        )

    /// <summary>The step that could not be taken, from 1.</summary>
    member _.Step = step

/// <summary>Training as a scan over batches: each step is a function from a state to the next.</summary>
[<RequireQualifiedAccess>]
module Trainer =

    /// <summary>A constant learning rate, gradients clipped at norm 1, no weight decay, no accumulation.</summary>
    let options (learningRate: float) : TrainerOptions =
        { LearningRate = learningRate
          Schedule = Schedule.constant
          AdamW = AdamW.defaults
          ClipNorm = Some 1.0
          Accumulate = 1
          Weighting = BatchWeighting.ByTerms
          NonFinite = NonFinite.Stop }

    /// The loss of batches and its gradient with respect to the flat vector.
    let private lossAndGradient weighting (loss: Loss) (layout: Parameters) (batches: Batch[]) (theta: Tensor) =
        let total = batches |> Array.sumBy (fun batch -> batch.Terms)

        let shareOf (batch: Batch) =
            match weighting with
            | BatchWeighting.ByTerms -> float batch.Terms / float total
            | BatchWeighting.Equal -> 1.0 / float batches.Length

        let leaf = Autograd.variable theta

        batches
        |> Array.fold
            (fun struct (sum, gradient: Tensor option) batch ->
                let share = shareOf batch
                let mutable value = 0.0

                let part =
                    Scope.run (fun () ->
                        let mean = loss batch (layout.OfVector leaf)
                        value <- float (mean.item<float32>())

                        match Autograd.tryGradients GraphUse.Free mean [ leaf ] with
                        | [ Some part ] when batches.Length = 1 -> part
                        | [ Some part ] -> part *. float32 share
                        | _ ->
                            invalidOp
                                "the loss does not depend on the parameters: check that the spec's positions reach tokens that the scored ones can see")

                struct (sum + share * value,
                        Some(
                            match gradient with
                            | Some sum -> part |> addTo sum
                            | None -> part
                        )))
            struct (0.0, None)
        |> fun struct (value, gradient) -> struct (value, Option.get gradient)

    /// <summary>One optimizer step. The old state stays valid and is still the caller's.</summary>
    /// <exception cref="T:Reft.Core.TrainingDivergedException">The loss or the gradient is not finite.</exception>
    let step
        (options: TrainerOptions)
        (loss: Loss)
        (batches: Batch[])
        (state: TrainState)
        : struct (StepReport * TrainState) =
        use _ = torch.NewDisposeScope()
        let number = state.Step + 1

        // A function of the step alone, so that a run that is resumed draws the same noise.
        let noise = Rng.fork number state.Rng

        let noisy =
            batches
            |> Array.mapi (fun i batch ->
                { batch with
                    Random = Some(Rng.fork i noise) })

        let struct (value, gradient) =
            lossAndGradient options.Weighting loss state.Layout noisy state.Theta

        let struct (gradient, norm) = AdamW.clip options.ClipNorm gradient
        let rate = options.LearningRate * options.Schedule state.Step

        let mask =
            if options.AdamW.WeightDecay <> 0.0 && state.Layout.HasDecayed then
                Some(state.Layout.DecayMask.``to`` state.Theta.device)
            else
                None

        use _ = torch.no_grad ()

        let struct (theta, moments) =
            AdamW.step options.AdamW mask rate number gradient state.Moments state.Theta

        let wrong =
            if not (Double.IsFinite value) then
                Some $"the loss is {value}"
            elif not (Double.IsFinite norm) then
                Some $"the gradient's norm is {norm}"
            elif not (theta.isfinite().all().item<bool>()) then
                Some "a parameter is no longer finite"
            else
                None

        let theta, moments =
            match wrong, options.NonFinite with
            | None, _ -> theta, moments
            | Some what, NonFinite.Stop -> raise (TrainingDivergedException(number, what))
            | Some _, NonFinite.Skip _ ->
                state.Theta.clone (),
                { First = state.Moments.First.clone ()
                  Second = state.Moments.Second.clone () }

        let report =
            { Step = number
              Loss = value
              GradientNorm = norm
              LearningRate = rate
              Tokens = batches |> Array.sumBy (fun batch -> batch.TokenCount)
              Skipped = wrong.IsSome }

        struct (report,
                { state with
                    Theta = theta.DetachFromDisposeScope()
                    Moments =
                        { First = moments.First.DetachFromDisposeScope()
                          Second = moments.Second.DetachFromDisposeScope() }
                    Step = number })

    /// <summary>
    /// The states after each step, lazily. Each is valid until the next is asked for (keep one with
    /// <see cref="M:Reft.Core.TrainStateModule.copy"/>); the first and the last are the caller's.
    /// </summary>
    let steps
        (options: TrainerOptions)
        (loss: Loss)
        (state: TrainState)
        (batches: Batch seq)
        : (StepReport * TrainState) seq =
        seq {
            let mutable current = state

            for group in batches |> Seq.chunkBySize options.Accumulate do
                let struct (report, next) = step options loss group current

                if current.Step <> state.Step then
                    TrainState.dispose current

                current <- next
                yield report, next
        }

    /// <summary>The state after all batches: the caller's, as is <paramref name="state"/>, which stays as it was.</summary>
    let fit (options: TrainerOptions) (loss: Loss) (state: TrainState) (batches: Batch seq) : TrainState =
        batches
        |> steps options loss state
        |> Seq.fold (fun _ (_, next) -> Some next) None
        |> Option.defaultWith (fun () -> TrainState.copy state)

    /// <summary>The mean loss per scored token, or labelled row, over batches, without gradients.</summary>
    let evaluate (loss: Loss) (theta: Parameters) (batches: Batch seq) : float =
        use _ = torch.no_grad ()

        let sum, count =
            batches
            |> Seq.filter (fun batch -> batch.Terms > 0)
            |> Seq.fold
                (fun (sum, count) batch ->
                    use _ = torch.NewDisposeScope()
                    let scored = float batch.Terms
                    sum + scored * float ((loss batch theta).item<float32>()), count + scored)
                (0.0, 0.0)

        if count = 0.0 then
            invalidArg (nameof batches) "no token is scored and no row is labelled: there is nothing to evaluate"

        sum / count
