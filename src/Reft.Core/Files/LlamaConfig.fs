namespace Reft.Core

open System.IO
open System.Text.Json

/// <summary>
/// The keys of a Llama's <c>config.json</c>, in the style of transformers 5 (<c>rope_parameters</c>, <c>dtype</c>) and of
/// 4.x (<c>rope_theta</c>, <c>rope_scaling</c>, <c>torch_dtype</c>). What is absent is what transformers takes it for.
/// </summary>
[<RequireQualifiedAccess>]
module LlamaConfig =

    // Bounds far above any model, so that no product of two sizes overflows and a lying file asks for no absurd work.
    [<Literal>]
    let private MaximumLayers = 1024

    [<Literal>]
    let private MaximumWidth = 1_048_576

    [<Literal>]
    let private MaximumVocabulary = 16_777_216

    let private maximumId = System.Int32.MaxValue

    let private optional key read standard config =
        config
        |> JsonValue.tryField key
        |> Option.map read
        |> Option.defaultValue standard

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
            |> JsonValue.int 1 maximumId
        )

    let private scaling (rope: JsonValue) =
        let kind =
            [ "rope_type"; "type" ] |> List.tryPick (fun key -> JsonValue.tryField key rope)

        for key in [ "partial_rotary_factor"; "attention_factor" ] do
            match JsonValue.tryField key rope with
            | Some value when JsonValue.float value <> 1.0 -> raise (JsonValue.unexpected "1 or no such key" value)
            | _ -> ()

        match kind with
        | None -> RopeScaling.Default
        | Some kind ->
            match JsonValue.string kind with
            | "default" -> RopeScaling.Default
            | "linear" -> RopeScaling.Linear(rope |> JsonValue.field "factor" |> JsonValue.positive)
            | "llama3" -> llama3 rope
            | _ -> raise (JsonValue.unexpected "a rope type that Reft computes: default, linear or llama3" kind)

    let private rope (config: JsonValue) =
        let section =
            [ "rope_parameters"; "rope_scaling" ]
            |> List.tryPick (fun key -> JsonValue.tryField key config)

        let theta =
            section
            |> Option.bind (JsonValue.tryField "rope_theta")
            |> Option.orElse (JsonValue.tryField "rope_theta" config)
            |> Option.map JsonValue.positive
            |> Option.defaultValue 10000.0

        theta, section |> Option.map scaling |> Option.defaultValue RopeScaling.Default

    let private heads hidden (config: JsonValue) : HeadShape =
        let key = "num_attention_heads"
        let heads = config |> JsonValue.field key |> JsonValue.int 1 MaximumWidth
        let kvHeads = config |> optional "num_key_value_heads" (JsonValue.int 1 heads) heads

        if heads % kvHeads <> 0 then
            raise (
                JsonValue.field "num_key_value_heads" config
                |> JsonValue.unexpected $"a divisor of num_attention_heads ({heads})"
            )

        let headDim =
            match JsonValue.tryField "head_dim" config with
            | Some value -> value |> JsonValue.int 2 65536
            | None when hidden % heads = 0 -> hidden / heads
            | None ->
                raise (
                    JsonValue.field key config
                    |> JsonValue.unexpected $"a divisor of hidden_size ({hidden}), as there is no head_dim"
                )

        // The rotary embedding turns pairs.
        if headDim % 2 <> 0 then
            raise (
                InvalidDataException
                    $"{config.File}: key 'head_dim' (or hidden_size / num_attention_heads): expected an even number, found {headDim}"
            )

        if int64 heads * int64 headDim > int64 MaximumWidth * 4L then
            raise (
                JsonValue.field key config
                |> JsonValue.unexpected $"num_attention_heads × head_dim of at most {MaximumWidth * 4}"
            )

        { Heads = heads
          KvHeads = kvHeads
          HeadDim = headDim }

    /// Absent is the class's own default, null is none; some old files write −1 for no padding.
    let private tokenId key (standard: int option) (config: JsonValue) =
        if JsonValue.hasField key config then
            config
            |> JsonValue.tryField key
            |> Option.map (JsonValue.int -1 maximumId)
            |> Option.filter (fun id -> id >= 0)
        else
            standard

    /// <summary>A number or a list of them: the value of <c>eos_token_id</c>.</summary>
    let tokenIds (value: JsonValue) : int list =
        match value.Element.ValueKind with
        | JsonValueKind.Array ->
            value
            |> JsonValue.items
            |> List.map (JsonValue.int 0 maximumId)
            |> List.distinct
        | JsonValueKind.Number -> [ JsonValue.int -1 maximumId value ] |> List.filter (fun id -> id >= 0)
        | _ -> raise (JsonValue.unexpected "a token id or a list of them" value)

    let private activation (config: JsonValue) =
        match JsonValue.tryField "hidden_act" config with
        | None -> "silu"
        | Some value ->
            let name = JsonValue.string value

            if Activation.all |> List.exists (fun known -> known.Name = name) then
                name
            else
                let known =
                    Activation.all |> List.map (fun known -> known.Name) |> String.concat ", "

                raise (JsonValue.unexpected $"one of {known}" value)

    /// <summary>Reads a configuration.</summary>
    /// <exception cref="T:System.IO.InvalidDataException">A key is missing or has a value that cannot be; the message says which and why.</exception>
    let read (config: JsonValue) : ModelConfig =
        let size maximum key =
            config |> JsonValue.field key |> JsonValue.int 1 maximum

        let hidden = size MaximumWidth "hidden_size"
        let theta, scaling = rope config

        { Family = "llama"
          Hidden = hidden
          Layers = size MaximumLayers "num_hidden_layers"
          Heads = heads hidden config
          Intermediate = size (MaximumWidth * 4) "intermediate_size"
          Vocabulary = size MaximumVocabulary "vocab_size"
          Context = config |> optional "max_position_embeddings" (JsonValue.int 1 maximumId) 2048
          NormEpsilon = config |> optional "rms_norm_eps" JsonValue.positive 1e-6
          RopeTheta = theta
          RopeScaling = scaling
          TiedHead = config |> optional "tie_word_embeddings" JsonValue.bool false
          AttentionBias = config |> optional "attention_bias" JsonValue.bool false
          MlpBias = config |> optional "mlp_bias" JsonValue.bool false
          Activation = activation config
          BosId = config |> tokenId "bos_token_id" (Some 1)
          EosIds =
            if JsonValue.hasField "eos_token_id" config then
                config |> optional "eos_token_id" tokenIds []
            else
                [ 2 ]
          PadId = config |> tokenId "pad_token_id" None }

    let private writeIds (writer: Utf8JsonWriter) (key: string) (ids: int list) =
        match ids with
        | [] -> writer.WriteNull key
        | [ id ] -> writer.WriteNumber(key, id)
        | _ ->
            writer.WriteStartArray key
            ids |> List.iter writer.WriteNumberValue
            writer.WriteEndArray()

    /// <summary>Writes the ids of special tokens, as <c>config.json</c> and <c>generation_config.json</c> hold them.</summary>
    let writeTokenIds (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writeIds writer "bos_token_id" (Option.toList config.BosId)
        writeIds writer "eos_token_id" config.EosIds
        writeIds writer "pad_token_id" (Option.toList config.PadId)

    let private writeRope (config: ModelConfig) (writer: Utf8JsonWriter) =
        writer.WriteStartObject "rope_parameters"
        writer.WriteNumber("rope_theta", config.RopeTheta)

        match config.RopeScaling with
        | RopeScaling.Default -> writer.WriteString("rope_type", "default")
        | RopeScaling.Linear factor ->
            writer.WriteString("rope_type", "linear")
            writer.WriteNumber("factor", factor)
        | RopeScaling.Llama3(factor, low, high, original) ->
            writer.WriteString("rope_type", "llama3")
            writer.WriteNumber("factor", factor)
            writer.WriteNumber("low_freq_factor", low)
            writer.WriteNumber("high_freq_factor", high)
            writer.WriteNumber("original_max_position_embeddings", original)

        writer.WriteEndObject()

    /// <summary>Writes what <see cref="M:Reft.Core.LlamaConfigModule.read"/> reads, in the style of transformers 5.</summary>
    let write (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteNumber("hidden_size", config.Hidden)
        writer.WriteNumber("num_hidden_layers", config.Layers)
        writer.WriteNumber("num_attention_heads", config.Heads.Heads)
        writer.WriteNumber("num_key_value_heads", config.Heads.KvHeads)
        writer.WriteNumber("head_dim", config.Heads.HeadDim)
        writer.WriteNumber("intermediate_size", config.Intermediate)
        writer.WriteNumber("vocab_size", config.Vocabulary)
        writer.WriteNumber("max_position_embeddings", config.Context)
        writer.WriteNumber("rms_norm_eps", config.NormEpsilon)
        writeRope config writer
        writer.WriteBoolean("tie_word_embeddings", config.TiedHead)
        writer.WriteBoolean("attention_bias", config.AttentionBias)
        writer.WriteBoolean("mlp_bias", config.MlpBias)
        writer.WriteString("hidden_act", config.Activation)
        writeTokenIds config writer
