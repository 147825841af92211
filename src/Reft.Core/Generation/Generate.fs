namespace Reft.Core

open System
open TorchSharp

/// <summary>Generating text.</summary>
[<RequireQualifiedAccess>]
module Generate =

    /// <summary>Up to n new tokens, until one of the model's own end-of-sequence ids.</summary>
    let options (maxNewTokens: int) (model: Transformer) : GenerateOptions =
        { MaxNewTokens = maxNewTokens
          StopIds = model.Config.EosIds
          Padding = PaddingSide.Left }

    /// The next token of each row, −1 where none is possible, and the streams after it.
    let private choose (decoding: Decoding) (streams: Rng[]) (rows: TokensSoFar[]) (logits: Tensor) =
        let processed () =
            logits |> LogitsProcessor.apply decoding.Processors rows

        match decoding.Choice with
        | TokenChoice.MostLikely ->
            let struct (greatest, ids) = processed().max -1L
            let greatest = greatest.cpu().data<float32>().ToArray()

            // Of a row with a NaN, it is the greatest.
            if
                greatest
                |> Array.exists (fun x -> Single.IsNaN x || Single.IsPositiveInfinity x)
            then
                Sampling.refuseNotNumbers ()

            let ids =
                Array.map2
                    (fun id logit -> if Single.IsNegativeInfinity logit then -1L else id)
                    (ids.cpu().data<int64>().ToArray())
                    greatest

            struct (ids, streams)
        | TokenChoice.Sampled(warping, _) ->
            let struct (drawn, streams) =
                processed () |> Warp.apply 1 warping |> Sampling.draw 1 streams

            struct (drawn |> Array.map (fun row -> int64 row[0]), streams)

    let private run
        (decoding: Decoding)
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : struct (GeneratedToken * RowEnding option) seq =
        let prompts = examples |> List.map (fun example -> example.Ids)
        Decoding.check options decoding model prompts
        let finish = Decoding.finish decoding options (Set.ofList options.StopIds)

        seq {
            if options.MaxNewTokens > 0 then
                let batch = DecodeStep.promptsOf options examples

                use cache =
                    model |> Transformer.cache batch.Rows (batch.Columns + options.MaxNewTokens)

                // Written as tokens come; a context reads no further than its rows are long.
                let tokens =
                    [| for prompt in prompts -> Array.append prompt (Array.zeroCreate options.MaxNewTokens) |]

                let mutable streams = Decoding.streams decoding
                let mutable window = batch |> DecodeStep.prefill tokens

                let running = Array.create batch.Rows true
                let mutable step = 0

                while Array.contains true running do
                    if step > 0 then
                        let column = batch.Columns + step - 1

                        window <-
                            { window with
                                Offset = column
                                Length = 1
                                Spans = window.Spans |> Array.map (RowSpan.append column) }

                    let rows = window.Rows

                    let struct (ids, following) =
                        choose decoding streams rows |> DecodeStep.run bound model cache window

                    streams <- following

                    for row in 0 .. batch.Rows - 1 do
                        if ids[row] < 0L then
                            if running[row] then
                                invalidOp
                                    $"row {row}: after {step} new tokens every token is forbidden: allow more tokens, or ask for fewer"

                            ids[row] <- 0L

                        tokens[row][rows[row].Length] <- int ids[row]

                    window <- { window with Ids = ids }

                    for row in 0 .. batch.Rows - 1 do
                        if running[row] then
                            let made =
                                { rows[row] with
                                    Length = rows[row].Length + 1 }

                            let reason = finish made
                            running[row] <- reason.IsNone
                            yield struct ({ Row = row; Id = int ids[row] }, reason)

                    step <- step + 1
        }

    /// <summary>
    /// Decoding of a batch, lazily: each token is computed when it is asked for. Rows are padded to one length and end by
    /// themselves; the KV cache is allocated once and freed with the enumerator.
    /// </summary>
    /// <param name="decoding">How tokens are chosen.</param>
    /// <param name="options">The length and the ends.</param>
    /// <param name="bound">Interventions, in the order in which they are attached.</param>
    /// <param name="model">The model.</param>
    /// <param name="examples">The prompts: all ids of each, and the subspaces that act on it.</param>
    /// <returns>The new tokens, step by step and row by row within a step.</returns>
    /// <exception cref="T:System.ArgumentException">
    /// A prompt is empty, or does not fit the model's context with the new tokens, or a setting of the decoding is out of range.
    /// </exception>
    /// <exception cref="T:System.InvalidOperationException">
    /// While it is read: every token is forbidden, or the model's logits are not numbers.
    /// </exception>
    let tokens
        (decoding: Decoding)
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : GeneratedToken seq =
        run decoding options bound model examples
        |> Seq.map (fun struct (token, _) -> token)

    /// <summary>The new tokens of each row, all at once, and why they end; see <see cref="M:Reft.Core.GenerateModule.tokens"/>.</summary>
    let rows
        (decoding: Decoding)
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : GeneratedRow[] =
        let ids = Array.init examples.Length (fun _ -> ResizeArray<int>())
        let reasons = Array.create examples.Length RowEnding.Length

        for struct (token, reason) in run decoding options bound model examples do
            ids[token.Row].Add token.Id
            reason |> Option.iter (fun reason -> reasons[token.Row] <- reason)

        Array.map2
            (fun (ids: ResizeArray<int>) reason ->
                { Ids = ids.ToArray()
                  Finish = reason
                  Score = None })
            ids
            reasons

    /// <summary>
    /// Beam search of a batch: of each row the texts with the best scores, best first. With a sampled choice the
    /// continuations of a row's beams are drawn, without replacement, in place of the best ones.
    /// </summary>
    /// <remarks>
    /// It is transformers 5's search: log-probabilities pass the processors and warps as logits do, and are not made to add
    /// up to one again. Rows do not wait for each other. A row has fewer texts than asked for only where processors or warps
    /// leave too few.
    /// </remarks>
    /// <param name="beams">The options of the search.</param>
    /// <param name="decoding">How tokens are chosen.</param>
    /// <param name="options">The length and the ends.</param>
    /// <param name="bound">Interventions, in the order in which they are attached.</param>
    /// <param name="model">The model.</param>
    /// <param name="examples">The prompts: all ids of each, and the subspaces that act on it.</param>
    /// <exception cref="T:System.ArgumentException">
    /// A prompt is empty, or does not fit the model's context with the new tokens, or an option is out of range.
    /// </exception>
    /// <exception cref="T:System.InvalidOperationException">Every token is forbidden, or the model's logits are not numbers.</exception>
    let beams
        (beams: BeamSearchOptions)
        (decoding: Decoding)
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : GeneratedRow[][] =
        BeamSearch.run beams decoding options bound model examples

    /// <summary>
    /// Greedy decoding of a batch, lazily; see <see cref="M:Reft.Core.GenerateModule.tokens"/>.
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
        tokens Decoding.greedy options bound model examples

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
        rows Decoding.greedy options bound model examples
        |> Array.map (fun row -> row.Ids)

    /// <summary>The new tokens of each prompt, all at once.</summary>
    let complete
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (prompts: int[] list)
        : int[][] =
        prompts |> List.map Example.ofText |> completeRows options bound model
