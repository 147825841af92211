namespace Reft.Core

open System.Text.Json

/// <summary>Specs as JSON: a list of placements, each as data.</summary>
[<RequireQualifiedAccess>]
module SpecJson =

    /// More placements than a model has sites, and few enough to compare each with each.
    [<Literal>]
    let private LargestSpec = 4096

    let private phases =
        [ Phase.Prompt, "prompt"; Phase.Decode, "decode"; Phase.Always, "always" ]

    let private tyings =
        [ Tying.Tied, "tied"
          Tying.Groups, "groups"
          Tying.EachPosition, "each_position" ]

    let private rules = [ ShortPrompt.Paper, "paper"; ShortPrompt.Pyreft, "pyreft" ]

    let private nameOf table value =
        table |> List.find (fst >> (=) value) |> snd

    let private valueOf table (value: JsonValue) =
        let name = JsonValue.string value

        match table |> List.tryFind (snd >> (=) name) with
        | Some(found, _) -> found
        | None ->
            let known = table |> List.map snd |> String.concat ", "
            raise (JsonValue.unexpected $"one of {known}" value)

    let private writePlacement (writer: Utf8JsonWriter) (placement: Placement) =
        writer.WriteStartObject()
        writer.WriteString("site", string placement.Site)
        writer.WriteString("positions", string placement.Where)

        match placement.When with
        | Phase.DecodeSteps(start, count) ->
            writer.WriteStartObject "phase"
            writer.WriteNumber("decode_start", start)
            writer.WriteNumber("decode_count", count)
            writer.WriteEndObject()
        | phase -> writer.WriteString("phase", nameOf phases phase)

        writer.WriteString("tying", nameOf tyings placement.Tie)
        writer.WriteString("short_prompt", nameOf rules placement.ShortPrompt)
        placement.Share |> Option.iter (fun name -> writer.WriteString("share", name))
        writer.WritePropertyName "intervention"
        FormJson.write writer placement.What.Form
        writer.WriteEndObject()

    /// <summary>Writes a spec.</summary>
    let write (writer: Utf8JsonWriter) (spec: ReftSpec) : unit =
        writer.WriteStartArray()
        spec |> List.iter (writePlacement writer)
        writer.WriteEndArray()

    /// What a parser says of a text, as a complaint about the place in the file where it stands.
    let private parsed (parse: 'a -> 'b) (read: JsonValue -> 'a) (value: JsonValue) : 'b =
        try
            value |> read |> parse
        with :? System.ArgumentException as e ->
            raise (System.IO.InvalidDataException($"{value.File}: key '{value.Key}': {e.Message}", e))

    let private phase (value: JsonValue) =
        if value.Element.ValueKind = JsonValueKind.Object then
            let number key =
                value |> JsonValue.field key |> JsonValue.int 0 1_000_000

            Phase.DecodeSteps(number "decode_start", number "decode_count")
        else
            valueOf phases value

    let private placement (registry: Registry) (value: JsonValue) : Placement =
        let field key = JsonValue.field key value

        { Site = field "site" |> parsed Site.parse JsonValue.string
          Where =
            field "positions"
            |> parsed (Positions.parseWith (Registry.positions registry)) JsonValue.string
          When = field "phase" |> phase
          What = field "intervention" |> parsed (Registry.intervention registry) FormJson.read
          Tie = field "tying" |> valueOf tyings
          Share = value |> JsonValue.tryField "share" |> Option.map JsonValue.string
          ShortPrompt = field "short_prompt" |> valueOf rules }

    /// <summary>Reads a spec.</summary>
    /// <param name="registry">The interventions that it may name.</param>
    /// <param name="value">The list of placements.</param>
    /// <exception cref="T:System.IO.InvalidDataException">The value is no spec, or names what the registry has not.</exception>
    let read (registry: Registry) (value: JsonValue) : ReftSpec =
        let items = JsonValue.items value

        if items.Length > LargestSpec then
            raise (JsonValue.unexpected $"at most {LargestSpec} placements" value)

        items |> List.map (placement registry)
