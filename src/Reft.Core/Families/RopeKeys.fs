namespace Reft.Core

open System.Text.Json

/// <summary>
/// The keys that say how positions turn: <c>rope_parameters</c> of transformers 5, or <c>rope_theta</c>,
/// <c>rope_scaling</c> and <c>partial_rotary_factor</c> of 4.x.
/// </summary>
[<RequireQualifiedAccess>]
module RopeKeys =

    [<Literal>]
    let private MaximumFrequencies = 65536

    let private maximumContext = System.Int32.MaxValue

    let private original (context: int) (rope: JsonValue) (config: JsonValue) =
        [ rope; config ]
        |> List.tryPick (JsonValue.tryField "original_max_position_embeddings")
        |> Option.map (JsonValue.int 1 maximumContext)
        |> Option.defaultValue context

    let private llama3 (rope: JsonValue) =
        let number key =
            rope |> JsonValue.field key |> JsonValue.positive

        let low, high = number "low_freq_factor", number "high_freq_factor"

        if high <= low then
            raise (
                JsonValue.field "high_freq_factor" rope
                |> JsonValue.unexpected $"a number above low_freq_factor ({low})"
            )

        RopeScaling.Llama3(
            number "factor",
            low,
            high,
            rope
            |> JsonValue.field "original_max_position_embeddings"
            |> JsonValue.int 1 maximumContext
        )

    let private yarn context (rope: JsonValue) (config: JsonValue) =
        let factor = rope |> JsonValue.field "factor" |> JsonValue.positive

        let number key standard =
            rope |> ConfigKeys.tryPositive key |> Option.defaultValue standard

        ConfigKeys.refuse "truncate" true rope

        let magnitude scale =
            if factor <= 1.0 then
                1.0
            else
                0.1 * scale * log factor + 1.0

        let attention =
            match
                ConfigKeys.tryPositive "attention_factor" rope,
                ConfigKeys.tryPositive "mscale" rope,
                ConfigKeys.tryPositive "mscale_all_dim" rope
            with
            | Some given, _, _ -> given
            | None, Some scale, Some all -> magnitude scale / magnitude all
            | _ -> magnitude 1.0

        RopeScaling.Yarn(
            factor,
            original context rope config,
            attention,
            number "beta_fast" 32.0,
            number "beta_slow" 1.0
        )

    let private longRope context width (rope: JsonValue) (config: JsonValue) =
        let divisors key =
            let value = JsonValue.field key rope
            let found = value |> JsonValue.items |> List.truncate MaximumFrequencies

            if found.Length <> width / 2 then
                raise (JsonValue.unexpected $"{width / 2} numbers, one per pair of turning dimensions" value)

            found |> List.map JsonValue.positive

        let original = original context rope config

        let attention =
            match ConfigKeys.tryPositive "attention_factor" rope with
            | Some given -> given
            | None ->
                let factor =
                    if original = context then
                        rope |> ConfigKeys.tryPositive "factor" |> Option.defaultValue 1.0
                    else
                        float context / float original

                if factor <= 1.0 then
                    1.0
                else
                    sqrt (1.0 + log factor / log (float original))

        RopeScaling.LongRope(divisors "short_factor", divisors "long_factor", original, attention)

    let private scaling context width (rope: JsonValue) (config: JsonValue) =
        let kind =
            [ "rope_type"; "type" ] |> List.tryPick (fun key -> JsonValue.tryField key rope)

        let factor () =
            rope |> JsonValue.field "factor" |> JsonValue.positive

        match kind with
        | None -> RopeScaling.Default
        | Some kind ->
            match JsonValue.string kind with
            | "default" -> RopeScaling.Default
            | "linear" -> RopeScaling.Linear(factor ())
            | "dynamic" -> RopeScaling.Dynamic(factor (), original context rope config)
            | "llama3" -> llama3 rope
            | "yarn" -> yarn context rope config
            | "longrope"
            | "su" -> longRope context width rope config
            | _ ->
                raise (
                    JsonValue.unexpected
                        "a rope type that Reft computes: default, linear, dynamic, llama3, yarn or longrope"
                        kind
                )

    let private share (rope: JsonValue option) (config: JsonValue) standard =
        let value =
            Option.toList rope @ [ config ]
            |> List.tryPick (JsonValue.tryField "partial_rotary_factor")
            |> Option.orElse (JsonValue.tryField "rotary_pct" config)

        match value with
        | None -> standard
        | Some value ->
            let found = JsonValue.positive value

            if found > 1.0 then
                raise (JsonValue.unexpected "a share of at most 1" value)

            found

    let private theta (rope: JsonValue option) (config: JsonValue) standard =
        Option.toList rope @ [ config ]
        |> List.tryPick (JsonValue.tryField "rope_theta")
        |> Option.orElse (JsonValue.tryField "rotary_emb_base" config)
        |> Option.map JsonValue.positive
        |> Option.defaultValue standard

    /// Numbers that are fine by themselves may give angles that are none.
    let private requireFinite (json: JsonValue) (config: ModelConfig) =
        let width = int (float config.Heads.HeadDim * config.RotaryShare)

        let angles =
            [ for length in [ 1; config.Context ] do
                  yield! Rotary.inverseFrequencies width config.RopeTheta config.RopeScaling length
              match config.LocalRopeTheta with
              | Some theta -> yield! Rotary.inverseFrequencies width theta RopeScaling.Default 1
              | None -> () ]

        let factor = float32 (Rotary.attentionFactor config.RopeScaling)

        if
            not (System.Single.IsFinite factor)
            || angles
               |> List.exists (fun angle -> not (System.Single.IsFinite angle) || angle <= 0.0f)
        then
            raise (
                System.IO.InvalidDataException
                    $"{json.File}: the rotary embedding (rope_parameters, or rope_theta and rope_scaling) gives angles that are no numbers above 0: expected a base of about 10000 to 10000000 and the model's own factors"
            )

        config

    /// <summary>The same shape with the rotary embedding of the file, or its own where the file says nothing.</summary>
    /// <param name="json">The file.</param>
    /// <param name="config">With its context and heads.</param>
    let read (json: JsonValue) (config: ModelConfig) : ModelConfig =
        let section =
            [ "rope_parameters"; "rope_scaling" ]
            |> List.tryPick (fun key -> JsonValue.tryField key json)

        // A section per kind of layer, as Gemma 3 has it.
        let local = section |> Option.bind (JsonValue.tryField "sliding_attention")

        let section =
            section
            |> Option.bind (JsonValue.tryField "full_attention")
            |> Option.orElse section

        match local |> Option.bind (JsonValue.tryField "rope_type") with
        | Some kind when JsonValue.string kind <> "default" ->
            raise (JsonValue.unexpected "default, as Reft stretches no positions of layers with a window" kind)
        | _ -> ()

        let share = share section json config.RotaryShare
        let width = int (float config.Heads.HeadDim * share)

        { config with
            RopeTheta = theta section json config.RopeTheta
            RotaryShare = share
            LocalRopeTheta =
                local
                |> Option.bind (ConfigKeys.tryPositive "rope_theta")
                |> Option.orElse (ConfigKeys.tryPositive "rope_local_base_freq" json)
                |> Option.orElse config.LocalRopeTheta
            RopeScaling =
                section
                |> Option.map (fun rope -> scaling config.Context width rope json)
                |> Option.defaultValue RopeScaling.Default }
        |> ConfigKeys.requireEven json
        |> requireFinite json

    let private writeScaling (scaling: RopeScaling) (writer: Utf8JsonWriter) =
        let kind (name: string) = writer.WriteString("rope_type", name)
        let number (key: string) (value: float) = writer.WriteNumber(key, value)

        let original (value: int) =
            writer.WriteNumber("original_max_position_embeddings", value)

        let list (key: string) (values: float list) =
            writer.WriteStartArray key
            values |> List.iter writer.WriteNumberValue
            writer.WriteEndArray()

        match scaling with
        | RopeScaling.Default -> kind "default"
        | RopeScaling.Linear factor ->
            kind "linear"
            number "factor" factor
        | RopeScaling.Llama3(factor, low, high, context) ->
            kind "llama3"
            number "factor" factor
            number "low_freq_factor" low
            number "high_freq_factor" high
            original context
        | RopeScaling.Dynamic(factor, context) ->
            kind "dynamic"
            number "factor" factor
            original context
        | RopeScaling.Yarn(factor, context, attention, fast, slow) ->
            kind "yarn"
            number "factor" factor
            original context
            number "attention_factor" attention
            number "beta_fast" fast
            number "beta_slow" slow
        | RopeScaling.LongRope(short, long, context, attention) ->
            kind "longrope"
            list "short_factor" short
            list "long_factor" long
            original context
            number "attention_factor" attention

    let private writeSection (config: ModelConfig) (writer: Utf8JsonWriter) =
        writer.WriteNumber("rope_theta", config.RopeTheta)

        if config.RotaryShare <> 1.0 then
            writer.WriteNumber("partial_rotary_factor", config.RotaryShare)

        writeScaling config.RopeScaling writer

    /// <summary>Writes what <see cref="M:Reft.Core.RopeKeys.read"/> reads, in the style of transformers 5.</summary>
    let write (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteStartObject "rope_parameters"

        match config.LocalRopeTheta with
        | None -> writeSection config writer
        | Some local ->
            writer.WriteStartObject "full_attention"
            writeSection config writer
            writer.WriteEndObject()
            writer.WriteStartObject "sliding_attention"
            writer.WriteNumber("rope_theta", local)
            writer.WriteString("rope_type", "default")
            writer.WriteEndObject()

        writer.WriteEndObject()
