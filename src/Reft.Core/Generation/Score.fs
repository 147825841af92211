namespace Reft.Core

open TorchSharp

/// <summary>Scoring given text.</summary>
[<RequireQualifiedAccess>]
module Score =

    /// <summary>
    /// log p(id[i + 1] | id[0 … i]) for every token but the first of each row of a batch. The batch's prompt spans say
    /// which tokens interventions reach.
    /// </summary>
    /// <returns>For each row, one number less than it has tokens.</returns>
    let logprobs (bound: BoundReft list) (model: Transformer) (batch: Batch) : float32[][] =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        let head = Transformer.causalHead model
        let context = Batch.context model batch

        let tuned = model |> Reft.attachAll bound context

        let hidden =
            (tuned |> Transformer.residual context (Batch.ids tuned.Device batch)).view(-1L, int64 tuned.Config.Hidden)

        let places, targets =
            batch.Spans
            |> Array.map (fun span ->
                [| for token in 0 .. span.Length - 2 ->
                       let flat (token: int) =
                           int64 (span.Row * batch.Columns + span.Column token)

                       flat token, batch.Ids[int (flat (token + 1))] |])
            |> Array.concat
            |> Array.unzip

        let chunk = CrossEntropy.chunkRows (int64 tuned.Config.Vocabulary)

        let flat =
            [| for start in 0L .. chunk .. int64 places.Length - 1L do
                   use _ = torch.NewDisposeScope()
                   let stop = min (int64 places.Length) (start + chunk)

                   let part (numbers: int64[]) =
                       (torch.tensor numbers[int start .. int stop - 1]).``to`` tuned.Device

                   let logits =
                       hidden.index_select (0L, part places)
                       |> tuned.Norm
                       |> LanguageHead.logits (head)

                   let chosen = logits.gather(1L, (part targets).unsqueeze 1L).squeeze 1L
                   yield! (chosen - logits.logsumexp (1L, false)).cpu().data<float32>().ToArray() |]

        let starts =
            batch.Spans |> Array.scan (fun start span -> start + max 0 (span.Length - 1)) 0

        batch.Spans
        |> Array.mapi (fun row span -> Array.sub flat starts[row] (max 0 (span.Length - 1)))
