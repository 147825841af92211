namespace Reft.Core

open System
open System.IO
open System.Text.Json

/// <summary>
/// A classification head in an adapter's manifest: its task, how it computes, and which of its maps were trained. Its
/// tensors stand with those of the interventions.
/// </summary>
[<RequireQualifiedAccess>]
module HeadJson =

    [<Literal>]
    let private MaximumLabels = 65536

    let private tokens = [ HeadToken.First, "first"; HeadToken.Last, "last" ]

    let private texts (writer: Utf8JsonWriter) (key: string) (values: string list) =
        writer.WriteStartArray key
        values |> List.iter writer.WriteStringValue
        writer.WriteEndArray()

    let private maps (head: SequenceHead) =
        head.Maps |> List.map (fun map -> map.Name)

    let private tokenName token =
        tokens |> List.find (fst >> (=) token) |> snd

    /// <summary>Writes the field <c>head</c>.</summary>
    let write (writer: Utf8JsonWriter) (classifier: Classifier) : unit =
        writer.WriteStartObject "head"
        writer.WriteString("problem", SequenceTask.problemName classifier.Task.Problem)
        texts writer "labels" classifier.Task.Labels
        writer.WriteString("token", tokenName classifier.Head.Token)
        texts writer "maps" (maps classifier.Head)
        texts writer "trained" (Classifier.trainedMaps classifier)
        writer.WriteNumber("parameters", classifier.Parameters.Entries |> Seq.sumBy (fun p -> p.Value.numel ()))
        writer.WriteNumber("trainable_parameters", classifier.Parameters.TrainableCount)
        writer.WriteEndObject()

    let private strings maximum (value: JsonValue) =
        let items = JsonValue.items value

        if items.Length > maximum then
            raise (JsonValue.unexpected $"at most {maximum} texts" value)

        items |> List.map JsonValue.string

    /// <summary>Reads the value of the field: a head without values, with the names, shapes and roles of the saved one.</summary>
    /// <param name="config">The base model's shape.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="T:System.IO.InvalidDataException">It is no head, or not one of the base model's family.</exception>
    let read (config: ModelConfig) (value: JsonValue) : Classifier =
        let head = (Families.ofConfig config).SequenceHead
        let field key = JsonValue.field key value
        let problem = field "problem"

        let task =
            match
                SequenceTask.problems
                |> List.tryFind (fun (_, name) -> name = JsonValue.string problem)
            with
            | Some(found, _) ->
                try
                    field "labels" |> strings MaximumLabels |> SequenceTask.create found
                with :? ArgumentException as e ->
                    raise (InvalidDataException($"{value.File}: key 'head.labels': {e.Message}", e))
            | None ->
                let known = SequenceTask.problems |> List.map snd |> String.concat ", "
                raise (JsonValue.unexpected $"one of {known}" problem)

        let expect key found wanted =
            if found <> wanted then
                raise (JsonValue.unexpected $"{wanted}, as the classification head of {config.Family} has" (field key))

        expect "token" (field "token" |> JsonValue.string) (tokenName head.Token)
        let list = String.concat ", "
        expect "maps" (field "maps" |> strings 16 |> list) (list (maps head))
        let trained = field "trained"
        let names = strings 16 trained

        if names |> List.exists (fun name -> not (List.contains name (maps head))) then
            raise (JsonValue.unexpected $"some of {list (maps head)}" trained)

        Classifier.blank task config.Hidden head names
