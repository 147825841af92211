namespace Reft.Core

open System
open TorchSharp

/// Beam search of a batch.
[<RequireQualifiedAccess>]
module internal BeamSearch =

    /// The candidates of each row, best first or as they are drawn; those without probability are left out.
    let private candidates
        (decoding: Decoding)
        (beams: BeamSearchOptions)
        (ends: int)
        (streams: Rng[])
        (states: BeamState[])
        (width: int)
        (rows: TokensSoFar[])
        (logits: Tensor)
        : struct (BeamCandidate list[] * Rng[]) =
        let vocabulary = logits.shape[1]

        let processed =
            logits.log_softmax -1L |> LogitsProcessor.apply decoding.Processors rows

        let warped =
            match decoding.Choice with
            | TokenChoice.MostLikely -> processed
            | TokenChoice.Sampled(warping, _) ->
                // As transformers: two also where nothing ends a text.
                processed
                |> Warp.apply (if beams.Count = 1 then 1 else max 2 (ends + 1)) warping

        let soFar =
            states
            |> Array.collect (fun state -> state.Running |> Seq.map (fun beam -> beam.Score) |> Seq.toArray)

        let sums =
            (warped .+ (torch.tensor(soFar).``to`` logits.device).unsqueeze 1L)
                .view(int64 states.Length, int64 width * vocabulary)

        let count = int (min (int64 (BeamHypotheses.candidates ends beams)) sums.shape[1])

        let struct (places, scores, streams) =
            match decoding.Choice with
            | TokenChoice.MostLikely ->
                let struct (scores, places) = sums.topk (count, 1, true, true)
                struct (places.cpu().data<int64>().ToArray(), scores.cpu().data<float32>().ToArray(), streams)
            | TokenChoice.Sampled _ ->
                let struct (drawn, streams) = Sampling.draw count streams sums
                let places = drawn |> Array.concat |> Array.map int64

                let scores =
                    sums.gather (
                        1L,
                        torch.tensor(places |> Array.map (max 0L)).view(-1L, int64 count).``to`` sums.device
                    )

                let scores =
                    Array.map2
                        (fun place score -> if place < 0L then -infinityf else score)
                        places
                        (scores.cpu().data<float32>().ToArray())

                struct (places, scores, streams)

        if scores |> Array.exists Single.IsNaN then
            Sampling.refuseNotNumbers ()

        let perRow =
            Array.init states.Length (fun row ->
                [ for i in row * count .. (row + 1) * count - 1 do
                      if scores[i] > -infinityf then
                          { Parent = int (places[i] / vocabulary)
                            Id = int (places[i] % vocabulary)
                            Score = scores[i] } ])

        struct (perRow, streams)

    /// The best texts of each row, best first.
    let run
        (beams: BeamSearchOptions)
        (decoding: Decoding)
        (options: GenerateOptions)
        (bound: BoundReft list)
        (model: Transformer)
        (examples: Example list)
        : GeneratedRow[][] =
        let prompts = examples |> List.map (fun example -> example.Ids) |> List.toArray
        Decoding.check options decoding model (List.ofArray prompts)
        Decoding.checkBeams beams
        use _ = torch.NewDisposeScope()
        let count = beams.Count
        let ends = Set.ofList options.StopIds

        let finish ids =
            Decoding.finish
                decoding
                options
                ends
                { Ids = ids
                  Length = ids.Length
                  Prompt = 0 }

        let batch = DecodeStep.promptsOf options examples

        let repeated (values: 'T[]) =
            values |> Array.collect (Array.replicate count)

        /// A step of every row: from the window of its beams to the next states.
        let step bound cache width (window: DecodeWindow) struct (states: BeamState[], streams) =
            let struct (found, streams) =
                candidates decoding beams ends.Count streams states width window.Rows
                |> DecodeStep.run bound model cache window

            let states =
                Array.map2
                    (fun state found ->
                        if state.Done then
                            state
                        else
                            BeamHypotheses.advance beams options.MaxNewTokens finish found state)
                    states
                    found

            struct (states, streams)

        let prefill (cache: KvCache) =
            struct (Array.create batch.Rows BeamHypotheses.start, Decoding.streams decoding)
            |> step bound cache 1 (DecodeStep.prefill prompts batch)

        let repeatedBound = lazy (bound |> List.map (Reft.repeatSources count))
        let repeatedSubspaces = repeated batch.Subspaces

        let rec decode (cache: KvCache) made (spans: RowSpan[]) struct (states: BeamState[], streams) =
            if states |> Array.forall (fun state -> state.Done) then
                states
            else
                let column = batch.Columns + made - 1
                let spans = spans |> Array.map (RowSpan.append column)

                // Rows that are done stand still until the others are.
                let texts =
                    states
                    |> Array.collect (fun state ->
                        [| for beam in state.Running -> if state.Done then None else Some beam |])

                let parents =
                    texts
                    |> Array.mapi (fun row text ->
                        match text with
                        // The first step continues the prompt, which every row has.
                        | Some beam when made > 1 -> int64 (row / count * count + beam.Parent)
                        | _ -> int64 row)

                if
                    parents
                    |> Array.indexed
                    |> Array.exists (fun (row, parent) -> int64 row <> parent)
                then
                    use index = (torch.tensor parents).``to`` model.Device
                    cache.Reorder(index, batch.Columns, column)

                let newIds =
                    texts
                    |> Array.map (function
                        | Some beam -> beam.Ids
                        | None -> Array.zeroCreate made)

                struct (states, streams)
                |> step
                    repeatedBound.Value
                    cache
                    count
                    { Offset = column
                      Length = 1
                      Spans = spans
                      Ids = newIds |> Array.map (fun ids -> int64 ids[made - 1])
                      Tokens = newIds |> Array.mapi (fun row ids -> Array.append prompts[row / count] ids)
                      Subspaces = repeatedSubspaces }
                |> decode cache (made + 1) spans

        if options.MaxNewTokens = 0 then
            batch.Spans
            |> Array.map (fun _ ->
                [| { Ids = [||]
                     Finish = RowEnding.Length
                     Score = None } |])
        else
            let struct (cache, first) =
                use prompt = model |> Transformer.cache batch.Rows batch.Columns
                let first = prefill prompt
                // The prompts are the same in all beams: they are computed once.
                struct (prompt.Repeat(count, batch.Columns, batch.Columns + options.MaxNewTokens), first)

            use cache = cache

            first
            |> decode cache 1 (repeated batch.Spans |> Array.mapi (fun row span -> { span with Row = row }))
            |> Array.mapi (fun row state ->
                if state.Finished.IsEmpty then
                    invalidOp
                        $"row {row}: every token is forbidden before a text ends: allow more tokens, or ask for fewer"

                state.Finished |> List.truncate beams.Returned |> List.toArray)
