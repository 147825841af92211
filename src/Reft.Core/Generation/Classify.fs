namespace Reft.Core

open TorchSharp

/// <summary>Classifying given rows.</summary>
[<RequireQualifiedAccess>]
module Classify =

    /// <summary>The logits of a batch's rows, without gradients. For each row one number per label.</summary>
    /// <param name="bound">What is attached, if anything.</param>
    /// <param name="classifier">The head.</param>
    /// <param name="model">The model.</param>
    /// <param name="batch">The rows; their labels are not read.</param>
    let logits (bound: BoundReft list) (classifier: Classifier) (model: Transformer) (batch: Batch) : float32[][] =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        let context = Batch.context model batch

        let logits =
            model
            |> Reft.attachAll bound context
            |> Classifier.run classifier.Head classifier.Parameters context (Batch.ids model.Device batch)

        logits.cpu().contiguous().data<float32>().ToArray()
        |> Array.chunkBySize classifier.Task.Labels.Length

    /// <summary>
    /// A row's logits as probabilities: softmax where one label is true, a sigmoid each where several may be. The numbers
    /// themselves in a regression.
    /// </summary>
    let scores (problem: SequenceProblem) (logits: float32[]) : float[] =
        let logits = logits |> Array.map float

        match problem with
        | SequenceProblem.Regression -> logits
        | SequenceProblem.MultiLabel -> logits |> Array.map (fun z -> 1.0 / (1.0 + exp -z))
        | SequenceProblem.SingleLabel ->
            let largest = Array.max logits
            let parts = logits |> Array.map (fun z -> exp (z - largest))
            let sum = Array.sum parts
            parts |> Array.map (fun part -> part / sum)

    /// <summary>What a row's logits predict: the likeliest label, the labels likelier than not, or the numbers.</summary>
    let predicted (problem: SequenceProblem) (logits: float32[]) : RowTarget =
        match problem with
        | SequenceProblem.SingleLabel -> logits |> Array.indexed |> Array.maxBy snd |> fst |> RowTarget.Label
        | SequenceProblem.MultiLabel ->
            [ for label in 0 .. logits.Length - 1 do
                  if logits[label] > 0.0f then
                      label ]
            |> RowTarget.Labels
        | SequenceProblem.Regression -> logits |> Seq.map float |> Seq.toList |> RowTarget.Values

    /// <summary>How well a batch sequence of labelled rows is predicted, without gradients.</summary>
    /// <param name="bound">What is attached, if anything.</param>
    /// <param name="classifier">The head.</param>
    /// <param name="model">The model.</param>
    /// <param name="batches">The rows, with their labels.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, or one without a label of the task.</exception>
    let evaluate
        (bound: BoundReft list)
        (classifier: Classifier)
        (model: Transformer)
        (batches: Batch seq)
        : SequenceEvaluation =
        let problem = classifier.Task.Problem

        let parts =
            [ for batch in batches ->
                  use _ = torch.NewDisposeScope()
                  let rows = logits bound classifier model batch

                  let table =
                      torch.tensor(Array.concat rows).view(int64 rows.Length, int64 classifier.Task.Labels.Length)

                  let loss = (SequenceLoss.mean classifier.Task batch table).item<float32>()

                  float loss * float rows.Length,
                  Array.zip
                      (batch.Examples |> Array.map (fun e -> e.Target.Value))
                      (rows |> Array.map (predicted problem)) ]

        let pairs = parts |> Seq.collect snd |> Seq.toArray

        if pairs.Length = 0 then
            invalidArg (nameof batches) "expected at least one row to evaluate, found none"

        pairs
        |> SequenceMetrics.evaluation classifier.Task ((parts |> List.sumBy fst) / float pairs.Length)
