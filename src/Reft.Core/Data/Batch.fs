namespace Reft.Core

open System.Collections.Generic

/// <summary>On which side the shorter rows of a batch are padded.</summary>
[<RequireQualifiedAccess>]
type PaddingSide =
    /// After the tokens.
    | Right
    /// Before the tokens.
    | Left

/// <summary>
/// Rows of tokens padded to one length, as plain numbers: no tensor, so that a batch may be made on another thread.
/// This is the only place that pads and that shifts labels.
/// </summary>
[<NoEquality; NoComparison>]
type Batch =
    {
        /// Row by row, <c>Rows × Columns</c> ids; 0 at padding.
        Ids: int64[]
        /// Padded length.
        Columns: int
        /// Where each example's tokens and prompt are: one for each of <c>Examples</c>.
        Spans: RowSpan[]
        /// The flat indices (row × Columns + column) of the tokens whose <i>next</i> token is scored.
        Scored: int64[]
        /// That next token, for each of <c>Scored</c>.
        Targets: int64[]
        /// What it was made of, in the order of <c>Spans</c>: by identity it says which row of a dataset each is, also after
        /// shuffling.
        Examples: Example[]
        /// The random state of dropout and other noise; <c>None</c> outside training. The trainer gives each its own.
        Random: Rng option
    }

    /// <summary>The number of rows of its tensors: of examples, where none is packed.</summary>
    member batch.Rows =
        if batch.Columns = 0 then
            0
        else
            batch.Ids.Length / batch.Columns

    /// <summary>Whether some row holds several examples.</summary>
    member batch.IsPacked = batch.Rows < batch.Spans.Length

    /// <summary>The number of tokens that are not padding.</summary>
    member batch.TokenCount = batch.Spans |> Array.sumBy (fun span -> span.Length)

    /// <summary>
    /// How many pairs it has: row i is preferred to row i + <c>Pairs</c>. 0 where rows stand alone.
    /// </summary>
    member batch.Pairs: int =
        batch.Examples
        |> Array.filter (fun example -> example.Rejected.IsSome)
        |> Array.length

    /// <summary>
    /// How many terms its mean loss has: pairs, scored tokens, or rows where whole rows are labelled. What training weighs a
    /// batch by.
    /// </summary>
    member batch.Terms: int =
        if batch.Pairs > 0 then
            batch.Pairs
        elif batch.Scored.Length > 0 then
            batch.Scored.Length
        else
            batch.Examples
            |> Array.filter (fun example -> example.Target.IsSome)
            |> Array.length

    /// <summary>For each example the numbers of the subspaces that act; empty where all do in every one.</summary>
    member batch.Subspaces: int list[] =
        if batch.Examples |> Array.forall (fun example -> example.Subspaces.IsEmpty) then
            [||]
        else
            batch.Examples |> Array.map (fun example -> example.Subspaces)

/// <summary>Making batches.</summary>
[<RequireQualifiedAccess>]
module Batch =

    /// Rows of examples that stand one after another, padded on a side.
    let private ofRows (padding: PaddingSide) (rows: Example list list) : Batch =
        let examples = List.concat rows

        if examples.IsEmpty then
            invalidArg (nameof examples) "expected at least one example in a batch, found none"

        examples
        |> List.iteri (fun row example ->
            if example.Ids.Length = 0 then
                invalidArg (nameof examples) $"expected at least one token in each row, found none in row {row}")

        let width (row: Example list) =
            row |> List.sumBy (fun example -> example.Ids.Length)

        let columns = rows |> List.map width |> List.max
        let ids = Array.zeroCreate<int64>(rows.Length * columns)
        let scored, targets = ResizeArray(), ResizeArray()

        let places =
            [ for number, row in List.indexed rows do
                  let start =
                      match padding with
                      | PaddingSide.Right -> 0
                      | PaddingSide.Left -> columns - width row

                  let starts =
                      row |> List.scan (fun start example -> start + example.Ids.Length) start

                  yield!
                      List.zip row (List.truncate row.Length starts)
                      |> List.map (fun (e, s) -> number, s, e) ]

        let spans =
            places
            |> List.map (fun (row, start, example) ->
                let first = row * columns + start

                for token in 0 .. example.Ids.Length - 1 do
                    ids[first + token] <- int64 example.Ids[token]

                    // The token at i predicts the token at i + 1.
                    if token > 0 && example.Labels[token] <> Example.Ignored then
                        scored.Add(int64 (first + token - 1))
                        targets.Add(int64 example.Labels[token])

                RowSpan.contiguous row start example.Prompt example.Ids.Length)
            |> List.toArray

        { Ids = ids
          Columns = columns
          Spans = spans
          Scored = scored.ToArray()
          Targets = targets.ToArray()
          Examples = List.toArray examples
          Random = None }

    /// The examples of rows: those that are preferred, and after them those that they are preferred to, in the same order.
    let private withRejected (examples: Example list) =
        let rejected = examples |> List.choose (fun example -> example.Rejected)

        if not rejected.IsEmpty && rejected.Length <> examples.Length then
            invalidArg
                (nameof examples)
                $"expected pairs alone or single rows alone in a batch, found {rejected.Length} pairs among {examples.Length} examples"

        examples @ rejected

    /// <summary>
    /// Examples as a batch, each in a row of its own, padded on a side. A pair makes two rows: see
    /// <see cref="P:Reft.Core.Batch.Pairs"/>.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">
    /// There is no example, an example has no tokens, or some are pairs and others are not.
    /// </exception>
    let create (padding: PaddingSide) (examples: Example list) : Batch =
        examples |> withRejected |> List.map List.singleton |> ofRows padding

    /// <summary>
    /// Examples as a batch of rows of at most <paramref name="columns"/> tokens: each follows the one before it in the same
    /// row where it fits, else it begins the next. No example sees another, and each has positions of its own, so that
    /// losses and gradients are those of the unpacked batch. For training and scoring; generation has no packed rows.
    /// </summary>
    /// <param name="columns">The most tokens of a row.</param>
    /// <param name="padding">On which side rows are padded.</param>
    /// <param name="examples">The examples, in the order in which they are to stand.</param>
    /// <exception cref="T:System.ArgumentException">There is no example, or one has no tokens or more than a row takes.</exception>
    let pack (columns: int) (padding: PaddingSide) (examples: Example list) : Batch =
        if examples |> List.exists (fun example -> example.Rejected.IsSome) then
            invalidArg (nameof examples) "pairs are not packed: batch them in order or by length"

        examples
        |> List.iteri (fun number example ->
            if example.Ids.Length > columns then
                invalidArg
                    (nameof examples)
                    $"example {number} has {example.Ids.Length} tokens, more than a packed row of {columns} takes: shorten it, or pack longer rows")

        ((0, []), examples)
        ||> List.fold (fun (filled, rows) example ->
            match rows with
            | row :: earlier when filled + example.Ids.Length <= columns ->
                filled + example.Ids.Length, (example :: row) :: earlier
            | _ -> example.Ids.Length, [ example ] :: rows)
        |> snd
        |> List.rev
        |> List.map List.rev
        |> ofRows padding

    /// The segments of all columns, the first at padding; nothing where no row has any. [batch, seq] int64
    let private segments (device: TorchSharp.torch.Device) (batch: Batch) =
        if batch.Examples |> Array.forall (fun example -> example.Segments.Length = 0) then
            None
        else
            let numbers = Array.zeroCreate<int64>(batch.Rows * batch.Columns)

            batch.Examples
            |> Array.iteri (fun number example ->
                let span = batch.Spans[number]

                example.Segments
                |> Array.iteri (fun token segment ->
                    numbers[span.Row * batch.Columns + span.Column token] <- int64 segment))

            Some(
                Scope.run (fun () ->
                    TorchSharp.torch.tensor(numbers).view(int64 batch.Rows, int64 batch.Columns).``to`` device)
            )

    /// <summary>The context of a whole batch for a model: its tokens, segments, subspaces and random state included.</summary>
    let context (model: Transformer) (batch: Batch) : Context =
        { (model |> Transformer.context None 0 batch.Columns batch.Spans) with
            Tokens = batch.Examples |> Array.map (fun example -> example.Ids)
            Segments = segments model.Device batch
            Subspaces = batch.Subspaces
            Random = batch.Random }

    /// <summary>The token ids as a tensor. [batch, seq] int64</summary>
    let ids (device: TorchSharp.torch.Device) (batch: Batch) : Tensor =
        TorchSharp.torch.tensor(batch.Ids).view(int64 batch.Rows, int64 batch.Columns).``to`` device

    /// <summary>
    /// The examples in batches of at most <paramref name="size"/> rows, in an order drawn from <paramref name="order"/>,
    /// or as they stand without one. Each is asked for when its batch is.
    /// </summary>
    let epoch (padding: PaddingSide) (size: int) (order: Rng option) (examples: IReadOnlyList<Example>) : Batch seq =
        if size < 1 then
            invalidArg (nameof size) $"expected a batch size of 1 or more, found {size}"

        let order =
            match order with
            | Some rng -> Rng.permutation examples.Count rng
            | None -> Array.init examples.Count id

        order
        |> Seq.chunkBySize size
        |> Seq.map (Array.map (fun i -> examples[i]) >> Array.toList >> create padding)
