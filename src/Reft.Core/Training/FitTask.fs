namespace Reft.Core

open System.Collections.Generic

/// <summary>What an evaluation gives, by name, e.g. <c>loss</c>.</summary>
type Metrics = (string * float) list

/// <summary>What a run learns.</summary>
[<NoEquality; NoComparison>]
type FitTask =
    {
        /// What it minimises.
        Loss: Loss
        /// What it trains on; each must have a scored token or a label. They are read again in each epoch, so that a list may
        /// make them as they are asked for.
        Examples: IReadOnlyList<Example>
        /// What parameters are worth, on rows that are held out; <c>None</c> where nothing is evaluated. Called without
        /// gradients, in a scope of its own.
        Evaluate: (Parameters -> Metrics) option
    }

/// <summary>Making tasks.</summary>
[<RequireQualifiedAccess>]
module FitTask =

    /// <summary>A loss over examples, without an evaluation.</summary>
    let create (loss: Loss) (examples: Example seq) : FitTask =
        { Loss = loss
          Examples = Seq.toArray examples
          Evaluate = None }

    /// <summary>The same with an evaluation: parameters → metrics by name.</summary>
    let evaluating (evaluate: Parameters -> Metrics) (task: FitTask) : FitTask = { task with Evaluate = Some evaluate }

    /// <summary>The same with the mean loss of held-out examples, as <c>loss</c>, for its evaluation.</summary>
    /// <param name="padding">On which side rows are padded.</param>
    /// <param name="size">Rows of a batch.</param>
    /// <param name="heldOut">The examples; read again in each evaluation.</param>
    /// <param name="task">The task.</param>
    let holdingOut (padding: PaddingSide) (size: int) (heldOut: IReadOnlyList<Example>) (task: FitTask) : FitTask =
        task
        |> evaluating (fun theta ->
            let batches = heldOut |> Batch.epoch padding size None
            [ "loss", Trainer.evaluate task.Loss theta batches ])
