namespace Reft.Core

open TorchSharp

/// <summary>
/// Losses of rows that are labelled as a whole, as transformers computes them: the cross-entropy of one label, the mean
/// binary cross-entropy over all labels, or the mean squared error, each in fp32 and a mean over rows.
/// </summary>
[<RequireQualifiedAccess>]
module SequenceLoss =

    /// Each row's target, or an error that says what the task expects.
    let private targets (task: SequenceTask) (batch: Batch) (choose: RowTarget -> 'T option) (expected: string) =
        batch.Examples
        |> Array.mapi (fun row example ->
            match example.Target |> Option.bind choose with
            | Some target -> target
            | None ->
                let found =
                    match example.Target with
                    | None -> "none"
                    | Some target -> string target

                invalidArg
                    (nameof batch)
                    $"row {row} of the batch: a task of {SequenceTask.problemName task.Problem} with {task.Labels.Length} outputs expects {expected}, found {found}")

    let private inRange (task: SequenceTask) label =
        label >= 0 && label < task.Labels.Length

    let private table (device: torch.Device) (columns: int) (rows: float list[]) =
        torch.tensor(rows |> Seq.concat |> Seq.map float32 |> Seq.toArray).view(int64 rows.Length, int64 columns).``to``
            device

    /// <summary>The mean loss of a batch's logits. [batch, labels] → []</summary>
    /// <param name="task">What is predicted.</param>
    /// <param name="batch">The rows, with their labels.</param>
    /// <param name="logits">fp32.</param>
    /// <exception cref="T:System.ArgumentException">A row has no label, or one that is not of the task.</exception>
    let mean (task: SequenceTask) (batch: Batch) (logits: Tensor) : Tensor =
        let count = task.Labels.Length

        Scope.run (fun () ->
            match task.Problem with
            | SequenceProblem.SingleLabel ->
                let labels =
                    targets
                        task
                        batch
                        (function
                        | RowTarget.Label label when inRange task label -> Some(int64 label)
                        | _ -> None)
                        $"the number of a label, 0 … {count - 1}"

                torch.nn.functional.cross_entropy (logits, (torch.tensor labels).``to`` logits.device)
            | SequenceProblem.MultiLabel ->
                let labels =
                    targets
                        task
                        batch
                        (function
                        | RowTarget.Labels labels when labels |> List.forall (inRange task) ->
                            Some [ for label in 0 .. count - 1 -> if List.contains label labels then 1.0 else 0.0 ]
                        | _ -> None)
                        $"numbers of labels, 0 … {count - 1}"

                torch.nn.functional.binary_cross_entropy_with_logits (logits, table logits.device count labels)
            | SequenceProblem.Regression ->
                let values =
                    targets
                        task
                        batch
                        (function
                        | RowTarget.Values values when
                            values.Length = count && values |> List.forall System.Double.IsFinite
                            ->
                            Some values
                        | _ -> None)
                        $"{count} finite numbers"

                torch.nn.functional.mse_loss (logits, table logits.device count values))
