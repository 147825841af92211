namespace Reft.Core

open System.Collections.Generic

/// <summary>How the rows of an epoch are put into batches.</summary>
[<RequireQualifiedAccess>]
type Batching =
    /// As they come.
    | InOrder

/// <summary>Plans of epochs: which rows make which batch.</summary>
[<RequireQualifiedAccess>]
module Batching =

    /// <summary>The row numbers of each batch of an epoch: a function of its arguments, so that a run can be resumed.</summary>
    /// <param name="batching">How batches are made.</param>
    /// <param name="size">Rows of a batch.</param>
    /// <param name="order">What an order is drawn from; <c>None</c> keeps the rows as they stand.</param>
    /// <param name="lengths">The tokens of each row.</param>
    let plan (batching: Batching) (size: int) (order: Rng option) (lengths: IReadOnlyList<int>) : int[][] =
        if size < 1 then
            invalidArg (nameof size) $"expected a batch size of 1 or more, found {size}"

        let order =
            match order with
            | Some rng -> Rng.permutation lengths.Count rng
            | None -> Array.init lengths.Count id

        match batching with
        | Batching.InOrder -> Array.chunkBySize size order
