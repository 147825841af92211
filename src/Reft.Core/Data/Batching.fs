namespace Reft.Core

open System.Collections.Generic

/// <summary>How the rows of an epoch are put into batches.</summary>
[<RequireQualifiedAccess>]
type Batching =
    /// As they come.
    | InOrder
    /// Rows of about the same length together, so that little is padded: within windows of so many batches rows are sorted by
    /// length, and the batches then come in an order of their own.
    | ByLength of window: int
    /// Several examples in a row of at most so many tokens, first-fit decreasing within windows of 4,096 examples; a batch
    /// then has so many packed rows.
    | Packed of columns: int

/// <summary>Plans of epochs: which rows make which batch.</summary>
[<RequireQualifiedAccess>]
module Batching =

    /// Examples among which packing looks for ones that fit: more leave hardly less padding, and are less shuffled.
    [<Literal>]
    let private PackingWindow = 4096

    /// An order of its own for what is made within an order.
    let private shuffled (order: Rng option) (number: int) (items: 'T[]) =
        match order with
        | Some rng ->
            let rng = rng |> Rng.fork 1 |> Rng.fork number
            Rng.permutation items.Length rng |> Array.map (fun i -> items[i])
        | None -> items

    let private byLength window size order (lengths: IReadOnlyList<int>) (rows: int[]) =
        let batches =
            rows
            |> Array.chunkBySize (int (min (int64 window * int64 size) (int64 System.Int32.MaxValue)))
            |> Array.collect (
                List.ofArray
                >> List.sortBy (fun row -> lengths[row])
                >> List.toArray
                >> Array.chunkBySize size
            )

        shuffled order 0 batches

    /// First-fit decreasing: each example in the first row that has room for it, the longest first.
    let private fill columns (lengths: IReadOnlyList<int>) (examples: int[]) =
        let rows = ResizeArray<ResizeArray<int>>()
        let room = ResizeArray<int>()

        for example in examples |> List.ofArray |> List.sortByDescending (fun row -> lengths[row]) do
            let length = lengths[example]
            let place = room.FindIndex(fun free -> free >= length)

            if place < 0 then
                rows.Add(ResizeArray [ example ])
                room.Add(columns - length)
            else
                rows[place].Add example
                room[place] <- room[place] - length

        rows.ToArray() |> Array.map (fun row -> row.ToArray())

    let private packed columns size order (lengths: IReadOnlyList<int>) (rows: int[]) =
        for row in rows do
            if lengths[row] > columns then
                invalidArg
                    (nameof lengths)
                    $"example {row} has {lengths[row]} tokens, more than a packed row of {columns} takes: shorten it, or pack longer rows"

        rows
        |> Array.chunkBySize PackingWindow
        |> Array.mapi (fun number window -> fill columns lengths window |> shuffled order number)
        |> Array.concat
        |> Array.chunkBySize size
        |> Array.map Array.concat

    /// <summary>The row numbers of each batch of an epoch: a function of its arguments, so that a run can be resumed.</summary>
    /// <param name="batching">How batches are made.</param>
    /// <param name="size">Rows of a batch.</param>
    /// <param name="order">What an order is drawn from; <c>None</c> keeps the rows as they stand, but for what is sorted.</param>
    /// <param name="lengths">The tokens of each row.</param>
    /// <exception cref="T:System.ArgumentException">
    /// The size, the window or the length of packed rows is not positive, or an example is longer than a packed row.
    /// </exception>
    let plan (batching: Batching) (size: int) (order: Rng option) (lengths: IReadOnlyList<int>) : int[][] =
        let positive name value =
            if value < 1 then
                invalidArg name $"expected {name} of 1 or more, found {value}"

        positive "a batch size" size

        let rows =
            match order with
            | Some rng -> Rng.permutation lengths.Count rng
            | None -> Array.init lengths.Count id

        match batching with
        | Batching.InOrder -> Array.chunkBySize size rows
        | Batching.ByLength window ->
            positive "a window" window
            byLength window size order lengths rows
        | Batching.Packed columns ->
            positive "packed rows" columns
            packed columns size order lengths rows

    /// <summary>The examples of one batch of a plan as a batch.</summary>
    /// <param name="batching">How batches are made.</param>
    /// <param name="padding">On which side rows are padded.</param>
    /// <param name="examples">The examples, in the plan's order.</param>
    /// <exception cref="T:System.ArgumentException">There is no example, or one has no tokens or more than a row takes.</exception>
    let batch (batching: Batching) (padding: PaddingSide) (examples: Example list) : Batch =
        match batching with
        | Batching.InOrder
        | Batching.ByLength _ -> Batch.create padding examples
        | Batching.Packed columns -> Batch.pack columns padding examples
