namespace Reft.Core

/// <summary>What is predicted of a whole row; Hugging Face's <c>problem_type</c>.</summary>
[<RequireQualifiedAccess>]
type SequenceProblem =
    /// One of the labels: a softmax over them.
    | SingleLabel
    /// Any of the labels: a sigmoid each.
    | MultiLabel
    /// A number for each label, usually one.
    | Regression

/// <summary>A problem and its labels, the outputs of a classification head in their order.</summary>
type SequenceTask =
    {
        /// What is predicted.
        Problem: SequenceProblem
        /// The names of the outputs.
        Labels: string list
    }

/// <summary>The head that a checkpoint brings, as its <c>architectures</c> tell.</summary>
[<RequireQualifiedAccess>]
type CheckpointHead =
    /// None: the bare model.
    | Bare
    /// Logits over the vocabulary: causal or masked language modelling.
    | Language
    /// Sequence classification or regression.
    | Sequence of SequenceTask

/// <summary>Tasks of whole rows.</summary>
[<RequireQualifiedAccess>]
module SequenceTask =

    /// <summary>The problems by their names in Hugging Face's files.</summary>
    let problems: (SequenceProblem * string) list =
        [ SequenceProblem.SingleLabel, "single_label_classification"
          SequenceProblem.MultiLabel, "multi_label_classification"
          SequenceProblem.Regression, "regression" ]

    /// <summary>The name of a problem in files.</summary>
    let problemName (problem: SequenceProblem) : string =
        problems |> List.find (fst >> (=) problem) |> snd

    /// <summary>A task that makes sense.</summary>
    /// <exception cref="T:System.ArgumentException">
    /// There is no label, one label alone to choose from, a label twice, or one without a name.
    /// </exception>
    let create (problem: SequenceProblem) (labels: string list) : SequenceTask =
        let refuse message = invalidArg (nameof labels) message

        match problem, labels with
        | _, [] -> refuse "expected at least one label, found none"
        | SequenceProblem.SingleLabel, [ only ] ->
            refuse
                $"expected two or more labels to choose from, found '{only}' alone: a number is the task of regression"
        | _ -> ()

        labels
        |> List.iteri (fun i label ->
            if System.String.IsNullOrWhiteSpace label then
                refuse $"expected a name for each label, found an empty one for label {i}")

        match labels |> List.countBy id |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(twice, _) -> refuse $"expected labels that differ, found '{twice}' twice"
        | None -> ()

        { Problem = problem; Labels = labels }

    /// <summary>A regression with one number.</summary>
    let regression: SequenceTask =
        { Problem = SequenceProblem.Regression
          Labels = [ "value" ] }
