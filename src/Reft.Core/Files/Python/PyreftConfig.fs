namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text.Encodings.Web
open System.Text.Json

/// One of pyvene's interventions: where it is and how its file is called.
[<NoEquality; NoComparison>]
type internal PyreftEntry =
    {
        Site: Site
        Class: PyreftClass
        /// Which of those at its site: 0 is the prefix, 1 the suffix, where there are two.
        Index: int
        /// As the configuration says it; older files do not.
        Rank: int option
        /// As the configuration says it; not for components that are given as paths.
        Width: int option
        /// Its key as pyvene writes it since 0.1.7, and as it did before.
        Keys: string list
    }

/// <c>config.json</c> of a folder that <c>pyreft</c> saved.
[<RequireQualifiedAccess>]
module internal PyreftConfig =

    [<Literal>]
    let FileName = "config.json"

    [<Literal>]
    let private LargestFile = 16_777_216

    [<Literal>]
    let private LargestCount = 8192

    /// The fields of pyvene's RepresentationConfig after the rank, in order, and whether pyreft's classes work with a value.
    let private otherFields =
        [ "intervention_type", false
          "intervention", false
          "subspace_partition", true // which they ignore
          "group_key", false
          "intervention_link_key", false
          "moe_key", false
          "source_representation", false
          "hidden_source_representation", false
          "latent_dim", true ]

    let private isNull (value: JsonValue) =
        value.Element.ValueKind = JsonValueKind.Null

    /// The site of a component: pyvene's own name with a layer, or a path.
    let private siteOf (layer: JsonValue) (place: JsonValue) =
        let name = JsonValue.string place

        let text =
            if name.Contains '.' || name.Contains '[' then
                name
            else
                let layer = layer |> JsonValue.int 0 100_000
                $"layer_{layer}_comp_{name}_unit_pos_nunit_1"

        try
            Site.parse text
        with :? ArgumentException as e ->
            raise (InvalidDataException($"{place.File}: key '{place.Key}': {e.Message}", e))

    /// pyvene's keys of a representation without their number.
    let private keysOf (layer: JsonValue) (name: string) =
        if name.Contains '.' || name.Contains '[' then
            let flat = name.Replace('.', '_')
            [ $"comp_{flat}_unit_pos_nunit_1"; $"comp.{name}.unit.pos.nunit.1" ]
        else
            let layer = layer.Element.GetRawText()

            [ $"layer_{layer}_comp_{name}_unit_pos_nunit_1"
              $"layer.{layer}.comp.{name}.unit.pos.nunit.1" ]

    let private representation (value: JsonValue) =
        match JsonValue.items value with
        | layer :: place :: unit :: units :: rank :: others ->
            if JsonValue.string unit <> "pos" then
                raise (JsonValue.unexpected "the unit pos, tokens" unit)

            JsonValue.int 1 1 units |> ignore

            if others.Length > otherFields.Length then
                raise (JsonValue.unexpected $"at most {5 + otherFields.Length} fields" value)

            for (field, allowed), other in List.zip (List.truncate others.Length otherFields) others do
                if not allowed && not (isNull other) then
                    raise (JsonValue.unexpected $"null for {field}, which pyreft's interventions do not have" other)

            let rank =
                if isNull rank then
                    None
                else
                    Some(JsonValue.int 1 1_000_000 rank)

            siteOf layer place, keysOf layer (JsonValue.string place), rank
        | _ ->
            raise (
                JsonValue.unexpected "a list of at least 5 fields: layer, component, unit, number of units, rank" value
            )

    /// A list as long as that of the representations.
    let private eachOf (key: string) (count: int) (root: JsonValue) =
        let value = root |> JsonValue.field key
        let items = JsonValue.items value

        if items.Length <> count then
            raise (JsonValue.unexpected $"{count} items, one for each representation" value)

        items

    let private width (value: JsonValue) =
        if value.Element.ValueKind = JsonValueKind.Number then
            Some(JsonValue.int 1 Int32.MaxValue value)
        else
            None

    /// <summary>The interventions of a folder, in pyvene's order.</summary>
    let read (folder: string) : PyreftEntry list =
        let path = Path.Combine(folder, FileName)

        if not (File.Exists path) then
            raise (
                FileNotFoundException(
                    $"{folder} is not an adapter of pyreft's: it has no {FileName}. Expected a folder that reft_model.save(folder) wrote; a checkpoint of pyreft's trainer has the parameters alone",
                    path
                )
            )

        let root = JsonValue.read LargestFile path
        let representations = root |> JsonValue.field "representations"
        let items = JsonValue.items representations

        if items.IsEmpty || items.Length > LargestCount then
            raise (JsonValue.unexpected $"1 … {LargestCount} representations" representations)

        let mode = root |> JsonValue.field "mode"

        if JsonValue.string mode <> "parallel" then
            raise (JsonValue.unexpected "the mode parallel, as pyreft's are" mode)

        let types = root |> eachOf "intervention_types" items.Length
        let dimensions = root |> eachOf "intervention_dimensions" items.Length
        let seen = Dictionary<string, int>(StringComparer.Ordinal)

        let entries =
            [ for item, (kind, dimension) in List.zip items (List.zip types dimensions) do
                  let site, keys, rank = representation item
                  let index = seen.GetValueOrDefault(keys.Head, 0)
                  seen[keys.Head] <- index + 1

                  { Site = site
                    Class = PyreftClass.ofTypeName kind
                    Index = index
                    Rank = rank
                    Width = width dimension
                    Keys = keys |> List.map (fun key -> $"{key}#{index}") } ]

        let known = entries |> List.collect (fun entry -> entry.Keys) |> Set.ofList

        for key in root |> eachOf "sorted_keys" items.Length do
            if not (known.Contains(JsonValue.string key)) then
                raise (JsonValue.unexpected "the key of one of the representations" key)

        entries

    /// <summary>What writes <c>config.json</c> as pyreft does after training.</summary>
    /// <param name="config">The base model's shape, whose token ids it repeats.</param>
    /// <param name="entries">Layer, pyvene's name of the component, key, class, rank and width of each intervention.</param>
    /// <param name="stream">Where to.</param>
    let write
        (config: ModelConfig)
        (entries: (int * string * string * PyreftClass * int * int) list)
        (stream: Stream)
        : unit =
        let options =
            JsonWriterOptions(Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

        use writer = new Utf8JsonWriter(stream, options)

        let list (key: string) (item: int * string * string * PyreftClass * int * int -> unit) =
            writer.WriteStartArray key
            entries |> List.iter item
            writer.WriteEndArray()

        writer.WriteStartObject()
        config.BosId |> Option.iter (fun id -> writer.WriteNumber("bos_token_id", id))

        match config.EosIds with
        | [] -> ()
        | [ id ] -> writer.WriteNumber("eos_token_id", id)
        | ids ->
            writer.WriteStartArray "eos_token_id"
            ids |> List.iter (fun id -> writer.WriteNumberValue id)
            writer.WriteEndArray()

        list "intervention_constant_sources" (fun _ -> writer.WriteBooleanValue true)
        list "intervention_dimensions" (fun (_, _, _, _, _, width) -> writer.WriteNumberValue width)
        list "intervention_types" (fun (_, _, _, cls, _, _) -> writer.WriteStringValue(PyreftClass.typeName cls))
        writer.WriteString("mode", "parallel")
        config.PadId |> Option.iter (fun id -> writer.WriteNumber("pad_token_id", id))

        list "representations" (fun (layer, place, _, _, rank, _) ->
            writer.WriteStartArray()
            writer.WriteNumberValue layer
            writer.WriteStringValue place
            writer.WriteStringValue "pos"
            writer.WriteNumberValue 1
            writer.WriteNumberValue rank

            for _ in otherFields do
                writer.WriteNullValue()

            writer.WriteEndArray())

        list "sorted_keys" (fun (_, _, key, _, _, _) -> writer.WriteStringValue key)
        writer.WriteBoolean("use_cache", false)
        writer.WriteEndObject()
