namespace Reft.Core

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
        /// Where each row's tokens and prompt are.
        Spans: RowSpan[]
        /// The flat indices (row × Columns + column) of the tokens whose <i>next</i> token is scored.
        Scored: int64[]
        /// That next token, for each of <c>Scored</c>.
        Targets: int64[]
        /// What it was made of, row by row: by identity it says which row of a dataset each row is, also after shuffling.
        Examples: Example[]
        /// The random state of dropout and other noise; <c>None</c> outside training. The trainer gives each its own.
        Random: Rng option
    }

    /// <summary>The number of rows.</summary>
    member batch.Rows = batch.Spans.Length

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

    /// <summary>For each row the numbers of the subspaces that act; empty where all do in every row.</summary>
    member batch.Subspaces: int list[] =
        if batch.Examples |> Array.forall (fun example -> example.Subspaces.IsEmpty) then
            [||]
        else
            batch.Examples |> Array.map (fun example -> example.Subspaces)

/// <summary>Making batches.</summary>
[<RequireQualifiedAccess>]
module Batch =

    /// The rows of examples: those that are preferred, and after them those that they are preferred to, in the same order.
    let private rowsOf (examples: Example list) =
        let rejected = examples |> List.choose (fun example -> example.Rejected)

        if not rejected.IsEmpty && rejected.Length <> examples.Length then
            invalidArg
                (nameof examples)
                $"expected pairs alone or single rows alone in a batch, found {rejected.Length} pairs among {examples.Length} examples"

        examples @ rejected

    /// <summary>Examples as a batch, padded on a side. A pair makes two rows: see <see cref="P:Reft.Core.Batch.Pairs"/>.</summary>
    /// <exception cref="T:System.ArgumentException">
    /// There is no example, an example has no tokens, or some are pairs and others are not.
    /// </exception>
    let create (padding: PaddingSide) (examples: Example list) : Batch =
        let examples = rowsOf examples

        if examples.IsEmpty then
            invalidArg (nameof examples) "expected at least one example in a batch, found none"

        examples
        |> List.iteri (fun row example ->
            if example.Ids.Length = 0 then
                invalidArg (nameof examples) $"expected at least one token in each row, found none in row {row}")

        let columns = examples |> List.map (fun e -> e.Ids.Length) |> List.max
        let ids = Array.zeroCreate<int64>(examples.Length * columns)
        let scored, targets = ResizeArray(), ResizeArray()

        let spans =
            examples
            |> List.mapi (fun row example ->
                let start =
                    match padding with
                    | PaddingSide.Right -> 0
                    | PaddingSide.Left -> columns - example.Ids.Length

                let first = row * columns + start

                for token in 0 .. example.Ids.Length - 1 do
                    ids[first + token] <- int64 example.Ids[token]

                    // The token at i predicts the token at i + 1.
                    if token > 0 && example.Labels[token] <> Example.Ignored then
                        scored.Add(int64 (first + token - 1))
                        targets.Add(int64 example.Labels[token])

                RowSpan.contiguous start example.Prompt example.Ids.Length)
            |> List.toArray

        { Ids = ids
          Columns = columns
          Spans = spans
          Scored = scored.ToArray()
          Targets = targets.ToArray()
          Examples = List.toArray examples
          Random = None }

    /// The segments of all columns, the first at padding; nothing where no row has any. [batch, seq] int64
    let private segments (device: TorchSharp.torch.Device) (batch: Batch) =
        if batch.Examples |> Array.forall (fun example -> example.Segments.Length = 0) then
            None
        else
            let numbers = Array.zeroCreate<int64>(batch.Rows * batch.Columns)

            batch.Examples
            |> Array.iteri (fun row example ->
                example.Segments
                |> Array.iteri (fun token segment ->
                    numbers[row * batch.Columns + batch.Spans[row].Column token] <- int64 segment))

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
    /// or as they stand without one.
    /// </summary>
    let epoch (padding: PaddingSide) (size: int) (order: Rng option) (examples: Example[]) : Batch seq =
        if size < 1 then
            invalidArg (nameof size) $"expected a batch size of 1 or more, found {size}"

        let order =
            match order with
            | Some rng -> Rng.permutation examples.Length rng
            | None -> Array.init examples.Length id

        order
        |> Seq.chunkBySize size
        |> Seq.map (Array.map (fun i -> examples[i]) >> Array.toList >> create padding)
