namespace Reft.Core

/// The rows of a window that one group of a placement reads, in its order.
[<NoEquality; NoComparison>]
type internal PlacedRows =
    {
        /// row of the tensors × window length + column within the window, for each. [n]
        Flat: int64[]
        /// The number of the example of each: its batch row, where none is packed. [n]
        Rows: int[]
        /// The token of each in its example. [n]
        Tokens: int[]
        /// The number of each among all those of its batch row, whatever the window. [n]; empty when unknown.
        Slots: int[]
        /// How many there are in each batch row among the tokens so far, whatever the window. [batch]
        Counts: int[]
    }

/// Resolving placements in a context: the same for edits and for collecting.
[<RequireQualifiedAccess>]
module internal PlacedRows =

    let rec private hasFunction positions =
        match positions with
        | Positions.Function _ -> true
        | Positions.Union parts -> List.exists hasFunction parts
        | _ -> false

    /// The first token of the phase and how many of its tokens there are.
    let private phase (placement: Placement) (span: RowSpan) =
        match placement.When with
        | Phase.Prompt -> struct (0, span.Prompt)
        | Phase.Decode -> struct (span.Prompt, span.Length - span.Prompt)
        | Phase.DecodeSteps(first, count) ->
            struct (span.Prompt + first, max 0 (min count (span.Length - span.Prompt - first)))
        | Phase.Always -> struct (0, span.Length)

    /// The prompt's tokens as the positions list them. Later ones as they come: decoding learns of them one by one, and
    /// their numbers must be those of a whole pass.
    let private inOrder phase (tokens: struct (int * int) list) =
        let ascending =
            phase = Phase.Prompt
            || tokens
               |> Seq.pairwise
               |> Seq.forall (fun (struct (_, a), struct (_, b)) -> a <= b)

        if ascending then
            tokens
        else
            tokens |> List.sortBy (fun struct (_, token) -> token)

    /// The rows of a context's window that each of a placement's groups reads.
    let resolve (context: Context) (placement: Placement) (groups: int) : PlacedRows[] =
        let flat = Array.init groups (fun _ -> ResizeArray<int64>())
        let rows = Array.init groups (fun _ -> ResizeArray<int>())
        let tokens = Array.init groups (fun _ -> ResizeArray<int>())
        let slots = Array.init groups (fun _ -> ResizeArray<int>())
        let counts = Array.init groups (fun _ -> Array.zeroCreate<int> context.Batch)

        context.Spans
        |> Array.iteri (fun row span ->
            let struct (start, count) = phase placement span

            let inWindow token =
                let column = span.Column token - context.Offset
                token < span.Length && column >= 0 && column < context.Length

            let choose (chosen: PositionFunction) =
                if context.Tokens.Length <> context.Batch then
                    invalidOp
                        $"'fn:{chosen.Name}' at {placement.Site} needs the tokens of {context.Batch} rows, and the context has those of {context.Tokens.Length}: make it with Batch.context, or set its Tokens"

                let ids = context.Tokens[row]

                if ids.Length < span.Length then
                    invalidOp
                        $"'fn:{chosen.Name}' at {placement.Site} needs all {span.Length} tokens of row {row} so far, and the context has {ids.Length}"

                let ask length =
                    chosen.Choose
                        { Ids = Array.truncate length ids
                          Prompt = span.Prompt }

                if placement.When = Phase.Prompt then
                    ask span.Prompt
                else
                    // Each token is asked about once it is there, as decoding step by step must.
                    [ for token in start .. start + count - 1 do
                          if inWindow token && List.contains token (ask (token + 1)) then
                              token - start ]

            let chosen =
                placement.Where
                |> Positions.resolveWith choose (ReftSpec.rule placement) placement.Tie count
                |> inOrder placement.When

            for struct (group, token) in chosen do
                let token = start + token

                // pyreft's leftover slots may lie behind the prompt: in training they exist, in generation not yet.
                if inWindow token then
                    let column = span.Column token - context.Offset
                    flat[group].Add(int64 span.Row * int64 context.Length + int64 column)
                    rows[group].Add row
                    tokens[group].Add token
                    slots[group].Add(counts[group][row])

                counts[group][row] <- counts[group][row] + 1)

        // A function is not asked again about the tokens of earlier windows.
        let known =
            placement.When = Phase.Prompt
            || context.Offset = 0
            || not (hasFunction placement.Where)

        Array.init groups (fun group ->
            { Flat = flat[group].ToArray()
              Rows = rows[group].ToArray()
              Tokens = tokens[group].ToArray()
              Slots = if known then slots[group].ToArray() else [||]
              Counts = if known then counts[group] else [||] })
