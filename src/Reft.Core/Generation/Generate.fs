namespace Reft.Core

open System
open TorchSharp

/// <summary>How a generation runs.</summary>
type GenerateOptions =
    {
        /// New tokens per row, at most.
        MaxNewTokens: int
        /// Ids that end a row; the id itself is among its new tokens.
        StopIds: int list
        /// On which side shorter prompts are padded.
        Padding: PaddingSide
    }

/// <summary>A token as it is generated.</summary>
[<Struct>]
type GeneratedToken =
    {
        /// The row of the batch.
        Row: int
        /// The token id.
        Id: int
    }

/// <summary>Generating text.</summary>
[<RequireQualifiedAccess>]
module Generate =

    /// <summary>Up to n new tokens, until one of the model's own end-of-sequence ids.</summary>
    let options (maxNewTokens: int) (model: Transformer) : GenerateOptions =
        { MaxNewTokens = maxNewTokens
          StopIds = model.Config.EosIds
          Padding = PaddingSide.Left }

    let private check options (model: Transformer) (prompts: int[] list) =
        if not model.Config.Causal then
            invalidArg
                (nameof model)
                $"a {model.Config.Family} model is an encoder, whose tokens see what comes after them, and cannot generate: expected a decoder"

        if prompts.IsEmpty then
            invalidArg (nameof prompts) "expected at least one prompt, found none"

        if options.MaxNewTokens < 0 then
            invalidArg (nameof options) $"expected MaxNewTokens ≥ 0, found {options.MaxNewTokens}"

        prompts
        |> List.iteri (fun row prompt ->
            if prompt.Length = 0 then
                invalidArg
                    (nameof prompts)
                    $"prompt {row} is empty: expected at least one token, such as the beginning-of-sequence id"

            if options.MaxNewTokens > model.Config.Context - prompt.Length then
                invalidArg
                    (nameof prompts)
                    $"prompt {row} has {prompt.Length} tokens, and {options.MaxNewTokens} new ones would pass the model's context of {model.Config.Context}: shorten the prompt or ask for at most {max 0 (model.Config.Context - prompt.Length)} new tokens")

    let private attachActing (bound: BoundReft list) (context: Context) (model: Transformer) =
        // Prompt edits have run in prefill: their effect is in the cache, and a decode step pays nothing for them.
        let acting =
            if context.Offset = 0 then
                bound
            else
                bound |> List.filter Reft.actsAfterPrompt

        Reft.attachAll acting context model

    /// The most likely next token of each row, given the window's ids [batch, length].
    let private next
        (bound: BoundReft list)
        (model: Transformer)
        cache
        offset
        length
        spans
        (subspaces: int list[])
        (tokens: int[][])
        (ids: int64[])
        (lastColumns: int[])
        =
        // Inside the step, never across a yield: the consumer may train between two tokens.
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()

        let context =
            { (model |> Transformer.context (Some cache) offset length spans) with
                Tokens = tokens
                Subspaces = subspaces }

        let rows = spans.Length
        let input = torch.tensor(ids).view(int64 rows, int64 length).``to`` model.Device

        let residual =
            model |> attachActing bound context |> Transformer.residual context input

        let last =
            if length = 1 then
                residual.view (int64 rows, -1L)
            else
                let flat =
                    lastColumns |> Array.mapi (fun row column -> int64 (row * length + column))

                residual.view(int64 rows * int64 length, -1L).index_select(0L, torch.tensor(flat).``to`` model.Device)

        let logits =
            last |> model.Norm |> LanguageHead.logits (Transformer.languageHead model)

        logits.argmax(-1L).cpu().data<int64>().ToArray()

    /// <summary>
    /// Greedy decoding of a batch, lazily: each token is computed when it is asked for. Rows are padded to one length and
    /// end by themselves; the KV cache is allocated once and freed with the enumerator.
    /// </summary>
    /// <param name="options">The length and the ends.</param>
    /// <param name="bound">Interventions, in the order in which they are attached.</param>
    /// <param name="model">The model.</param>
    /// <param name="examples">The prompts: all ids of each, and the subspaces that act on it.</param>
    /// <returns>The new tokens, step by step and row by row within a step.</returns>
    /// <exception cref="T:System.ArgumentException">A prompt is empty, or does not fit the model's context with the new tokens.</exception>
    let greedyRows
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : GeneratedToken seq =
        let prompts = examples |> List.map (fun example -> example.Ids)
        check options model prompts
        let stop = Set.ofList options.StopIds

        seq {
            if options.MaxNewTokens > 0 then
                let batch =
                    examples
                    |> List.map (fun example ->
                        { Example.ofText example.Ids with
                            Subspaces = example.Subspaces })
                    |> Batch.create options.Padding

                let rows, subspaces = batch.Rows, batch.Subspaces
                use cache = model |> Transformer.cache rows (batch.Columns + options.MaxNewTokens)
                let mutable spans = batch.Spans
                let lastColumns = spans |> Array.map (fun span -> span.Column(span.Length - 1))
                // Written as tokens come; a context reads no further than its rows are long.
                let tokens =
                    [| for prompt in prompts -> Array.append prompt (Array.zeroCreate options.MaxNewTokens) |]

                let mutable ids =
                    next bound model cache 0 batch.Columns spans subspaces tokens batch.Ids lastColumns

                let running = Array.create rows true
                let mutable step = 0

                while step < options.MaxNewTokens && Array.contains true running do
                    if step > 0 then
                        let column = batch.Columns + step - 1

                        for row in 0 .. rows - 1 do
                            tokens[row][spans[row].Length] <- int ids[row]

                        spans <- spans |> Array.map (RowSpan.append column)
                        ids <- next bound model cache column 1 spans subspaces tokens ids [||]

                    for row in 0 .. rows - 1 do
                        if running[row] then
                            let id = int ids[row]
                            running[row] <- not (stop.Contains id)
                            yield { Row = row; Id = id }

                    step <- step + 1
        }

    /// <summary><see cref="M:Reft.Core.GenerateModule.greedyRows"/> of prompts on which all subspaces act.</summary>
    /// <exception cref="T:System.ArgumentException">A prompt is empty, or does not fit the model's context with the new tokens.</exception>
    let greedy
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (prompts: int[] list)
        : GeneratedToken seq =
        prompts |> List.map Example.ofText |> greedyRows options bound model

    /// <summary>The new tokens of each row, all at once; see <see cref="M:Reft.Core.GenerateModule.greedyRows"/>.</summary>
    let completeRows
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : int[][] =
        let rows = Array.init examples.Length (fun _ -> ResizeArray<int>())

        for token in greedyRows options bound model examples do
            rows[token.Row].Add token.Id

        rows |> Array.map (fun row -> row.ToArray())

    /// <summary>The new tokens of each prompt, all at once.</summary>
    let complete
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (prompts: int[] list)
        : int[][] =
        prompts |> List.map Example.ofText |> completeRows options bound model
