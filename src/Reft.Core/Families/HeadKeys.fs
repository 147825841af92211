namespace Reft.Core

open System
open System.Text.Json

/// <summary>
/// The keys of <c>config.json</c> that say which head a checkpoint has: <c>architectures</c>, and <c>problem_type</c>,
/// <c>id2label</c> and <c>num_labels</c> of sequence classification.
/// </summary>
[<RequireQualifiedAccess>]
module HeadKeys =

    [<Literal>]
    let private MaximumLabels = 65536

    [<Literal>]
    let private Sequence = "ForSequenceClassification"

    /// Heads that are no business of this library, and whose checkpoints are not the family's other ones.
    let private others =
        [ "ForTokenClassification"
          "ForQuestionAnswering"
          "ForMultipleChoice"
          "ForNextSentencePrediction" ]

    let private endsIn (ending: string) (name: string) =
        name.EndsWith(ending, StringComparison.Ordinal)

    /// The names of id2label, in the order of their numbers.
    let private named (value: JsonValue) : string list =
        let entries = JsonValue.fields value

        if entries.IsEmpty || entries.Length > MaximumLabels then
            raise (JsonValue.unexpected $"1 … {MaximumLabels} labels" value)

        let byId = dict entries

        List.init entries.Length (fun i ->
            match byId.TryGetValue(string i) with
            | true, label -> JsonValue.string label
            | _ ->
                raise (JsonValue.unexpected $"a label for each of 0 … {entries.Length - 1}, and so one for {i}" value))

    let private numbered count = List.init count (sprintf "LABEL_%d")

    let private task (json: JsonValue) : SequenceTask =
        let count =
            json
            |> JsonValue.tryField "num_labels"
            |> Option.map (fun value -> value, JsonValue.int 1 MaximumLabels value)

        let labels =
            match JsonValue.tryField "id2label" json, count with
            | Some names, Some(value, count) ->
                let labels = named names

                if labels.Length <> count then
                    raise (JsonValue.unexpected $"the number of labels in id2label, {labels.Length}" value)

                labels
            | Some names, None -> named names
            | None, Some(_, count) -> numbered count
            | None, None -> numbered 2

        let problem =
            match JsonValue.tryField "problem_type" json with
            | Some value ->
                let name = JsonValue.string value

                match SequenceTask.problems |> List.tryFind (snd >> (=) name) with
                | Some(problem, _) -> problem
                | None ->
                    let known = SequenceTask.problems |> List.map snd |> String.concat ", "
                    raise (JsonValue.unexpected $"one of {known}" value)
            // As transformers guesses where nothing is said.
            | None when labels.Length = 1 -> SequenceProblem.Regression
            | None -> SequenceProblem.SingleLabel

        try
            SequenceTask.create problem labels
        with :? ArgumentException as e ->
            let key =
                if JsonValue.hasField "id2label" json then
                    "id2label"
                else
                    "num_labels"

            raise (IO.InvalidDataException($"{json.File}: key '{key}': {e.Message}", e))

    /// <summary>The head that a checkpoint has: a language model's where <c>architectures</c> says nothing else.</summary>
    /// <exception cref="T:System.IO.InvalidDataException">It is one that is not supported, or its keys are wrong.</exception>
    let read (json: JsonValue) : CheckpointHead =
        let first =
            json
            |> JsonValue.tryField "architectures"
            |> Option.map JsonValue.items
            |> Option.bind List.tryHead

        match first with
        | None -> CheckpointHead.Language
        | Some value ->
            let name = JsonValue.string value

            if others |> List.exists (fun ending -> endsIn ending name) then
                raise (
                    JsonValue.unexpected
                        $"a bare model, or one with a head for causal or masked language modelling or for sequence classification"
                        value
                )

            if endsIn Sequence name then
                CheckpointHead.Sequence(task json)
            elif endsIn "Model" name && not (endsIn "LMHeadModel" name) then
                CheckpointHead.Bare
            else
                CheckpointHead.Language

    /// <summary>The class in transformers of a family with a head.</summary>
    let architecture (family: Family) (head: CheckpointHead) : string =
        let stem =
            [ "ForCausalLM"; "ForMaskedLM"; "LMHeadModel" ]
            |> List.tryFind (fun ending -> endsIn ending family.Architecture)
            |> Option.map (fun ending -> family.Architecture.Substring(0, family.Architecture.Length - ending.Length))
            |> Option.defaultValue family.Architecture

        match head with
        | CheckpointHead.Language -> family.Architecture
        | CheckpointHead.Bare -> stem + "Model"
        | CheckpointHead.Sequence _ -> stem + Sequence

    /// <summary>Writes the labels and the problem of a head for sequence classification.</summary>
    let write (head: CheckpointHead) (writer: Utf8JsonWriter) : unit =
        match head with
        | CheckpointHead.Sequence task ->
            writer.WriteString("problem_type", SequenceTask.problemName task.Problem)
            writer.WriteStartObject "id2label"
            task.Labels |> List.iteri (fun i label -> writer.WriteString(string i, label))
            writer.WriteEndObject()
            writer.WriteStartObject "label2id"
            task.Labels |> List.iteri (fun i label -> writer.WriteNumber(label, i))
            writer.WriteEndObject()
        | CheckpointHead.Bare
        | CheckpointHead.Language -> ()
