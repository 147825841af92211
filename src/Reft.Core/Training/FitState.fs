namespace Reft.Core

open TorchSharp

/// <summary>The best parameters of a run so far.</summary>
[<NoEquality; NoComparison>]
type BestSoFar =
    {
        /// The step of the run that reached them, from 1.
        Step: int
        /// The value of the monitored metric.
        Value: float
        /// The trainable parameters, one flat vector.
        Theta: Tensor
    }

/// <summary>
/// Where a run stands: with its options and its task, all that the rest of it depends on. It owns its tensors.
/// </summary>
[<NoEquality; NoComparison>]
type FitState =
    {
        /// Parameters, moments, and the random stream that order and noise are drawn from.
        Train: TrainState
        /// Steps of this run that were taken.
        Taken: int
        /// The best parameters, where a metric is monitored and was evaluated.
        Best: BestSoFar option
        /// Evaluations in a row that gave nothing better.
        Stale: int
        /// Steps in a row that were skipped because they were not finite.
        Skipped: int
    }

    /// <summary>The best parameters where a metric is monitored and was evaluated, else the last; valid while the state is.</summary>
    member state.Parameters: Parameters =
        match state.Best with
        | Some best -> state.Train.Layout.OfVector best.Theta
        | None -> state.Train.Parameters

/// <summary>Making, copying and freeing the states of runs.</summary>
[<RequireQualifiedAccess>]
module FitState =

    /// <summary>A run before its first step. The given state stays the caller's.</summary>
    let start (state: TrainState) : FitState =
        { Train = TrainState.copy state
          Taken = 0
          Best = None
          Stale = 0
          Skipped = 0 }

    /// <summary>A copy that outlives the original.</summary>
    let copy (state: FitState) : FitState =
        { state with
            Train = TrainState.copy state.Train
            Best =
                state.Best
                |> Option.map (fun best ->
                    { best with
                        Theta = best.Theta.clone().DetachFromDisposeScope() }) }

    /// <summary>Frees its tensors; the layout stays.</summary>
    let dispose (state: FitState) : unit =
        TrainState.dispose state.Train
        state.Best |> Option.iter (fun best -> best.Theta.Dispose())
