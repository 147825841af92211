namespace Reft.Core

open System.IO
open System.Text.Json

/// <summary>
/// What the keys of the families' <c>config.json</c> have in common, in the style of transformers 5 (<c>rope_parameters</c>,
/// <c>dtype</c>) and of 4.x (<c>rope_theta</c>, <c>rope_scaling</c>, <c>torch_dtype</c>).
/// </summary>
[<RequireQualifiedAccess>]
module ConfigKeys =

    // Bounds far above any model, so that no product of two sizes overflows and a lying file asks for no absurd work.
    [<Literal>]
    let private MaximumLayers = 1024

    /// The largest width of a residual stream.
    [<Literal>]
    let MaximumWidth = 1_048_576

    [<Literal>]
    let private MaximumVocabulary = 16_777_216

    let private maximumId = System.Int32.MaxValue

    /// <summary>A key's value, or a standard one where it is absent or null.</summary>
    let optional (key: string) (read: JsonValue -> 'T) (standard: 'T) (config: JsonValue) : 'T =
        config
        |> JsonValue.tryField key
        |> Option.map read
        |> Option.defaultValue standard

    let private size maximum key config =
        config |> JsonValue.field key |> JsonValue.int 1 maximum

    /// <summary>A width, such as <c>hidden_size</c>.</summary>
    let width (key: string) (config: JsonValue) : int = size MaximumWidth key config

    /// <summary>An MLP's inner width.</summary>
    let inner (key: string) (config: JsonValue) : int = size (MaximumWidth * 4) key config

    /// <summary>The number of layers.</summary>
    let layers (key: string) (config: JsonValue) : int = size MaximumLayers key config

    /// <summary>The number of token ids.</summary>
    let vocabulary (config: JsonValue) : int =
        size MaximumVocabulary "vocab_size" config

    /// <summary>A number of positions, or a standard one.</summary>
    let context (key: string) (standard: int) (config: JsonValue) : int =
        config |> optional key (JsonValue.int 1 maximumId) standard

    /// <summary>A number above 0, where the key is there.</summary>
    let tryPositive (key: string) (config: JsonValue) : float option =
        config |> JsonValue.tryField key |> Option.map JsonValue.positive

    /// <summary>Refuses a key that asks for something Reft does not compute.</summary>
    let refuse (key: string) (computed: bool) (config: JsonValue) : unit =
        match JsonValue.tryField key config with
        | Some value when JsonValue.bool value <> computed ->
            raise (JsonValue.unexpected $"{(string computed).ToLowerInvariant()}, as Reft computes no other" value)
        | _ -> ()

    /// <summary>The heads, under the keys of Llama.</summary>
    /// <param name="hidden">The width that they share where there is no <c>head_dim</c>.</param>
    /// <param name="headDim">The width of a head that the class has where the file gives none; <c>None</c> divides.</param>
    /// <param name="config">The file.</param>
    let heads (hidden: int) (headDim: int option) (config: JsonValue) : HeadShape =
        let key = "num_attention_heads"
        let heads = config |> JsonValue.field key |> JsonValue.int 1 MaximumWidth
        let kvHeads = config |> optional "num_key_value_heads" (JsonValue.int 1 heads) heads

        if heads % kvHeads <> 0 then
            raise (
                JsonValue.field "num_key_value_heads" config
                |> JsonValue.unexpected $"a divisor of num_attention_heads ({heads})"
            )

        let headDim =
            match JsonValue.tryField "head_dim" config, headDim with
            | Some value, _ -> value |> JsonValue.int 1 65536
            | None, Some standard -> standard
            | None, None when hidden % heads = 0 -> hidden / heads
            | None, None ->
                raise (
                    JsonValue.field key config
                    |> JsonValue.unexpected $"a divisor of hidden_size ({hidden}), as there is no head_dim"
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

    /// <summary>An activation function by its name, or a standard one.</summary>
    let activation (key: string) (standard: string) (config: JsonValue) : string =
        match JsonValue.tryField key config with
        | None -> standard
        | Some value ->
            let name = JsonValue.string value

            if Activation.all |> List.exists (fun known -> known.Name = name) then
                name
            else
                let known =
                    Activation.all |> List.map (fun known -> known.Name) |> String.concat ", "

                raise (JsonValue.unexpected $"one of {known}" value)

    /// <summary>The same shape with the token ids of the file, or its own where the file has none.</summary>
    let withTokenIds (json: JsonValue) (config: ModelConfig) : ModelConfig =
        { config with
            BosId = json |> tokenId "bos_token_id" config.BosId
            EosIds =
                if JsonValue.hasField "eos_token_id" json then
                    json |> optional "eos_token_id" tokenIds []
                else
                    config.EosIds
            PadId = json |> tokenId "pad_token_id" config.PadId }

    /// <summary>Refuses heads of an odd width, of which the rotary embedding cannot turn pairs.</summary>
    let requireEven (json: JsonValue) (config: ModelConfig) : ModelConfig =
        let turning = float config.Heads.HeadDim * config.RotaryShare

        if int turning % 2 <> 0 || int turning < 2 then
            raise (
                InvalidDataException
                    $"{json.File}: key 'head_dim' (or hidden_size / num_attention_heads): expected an even number of turning dimensions, found {int turning}"
            )

        config

    /// <summary>
    /// What the layers see, by <c>layer_types</c>, or else by the rule of the family, which is asked layer by layer whether
    /// it is one with a window.
    /// </summary>
    /// <param name="window">The window, if the file has one.</param>
    /// <param name="slides">The family's rule.</param>
    /// <param name="count">The number of layers.</param>
    /// <param name="config">The file.</param>
    let patterns (window: int option) (slides: int -> bool) (count: int) (config: JsonValue) : AttentionPattern list =
        let ofType value =
            match JsonValue.string value, window with
            | "full_attention", _ -> AttentionPattern.Causal
            | "sliding_attention", Some window -> AttentionPattern.Sliding window
            | "sliding_attention", None ->
                raise (JsonValue.unexpected "a sliding_window for layers of type sliding_attention" value)
            | _ -> raise (JsonValue.unexpected "full_attention or sliding_attention" value)

        let found =
            match JsonValue.tryField "layer_types" config, window with
            | Some types, _ ->
                let found = JsonValue.items types |> List.map ofType

                if found.Length <> count then
                    raise (JsonValue.unexpected $"{count} layer types, one per layer" types)

                found
            | None, Some window ->
                List.init count (fun layer ->
                    if slides layer then
                        AttentionPattern.Sliding window
                    else
                        AttentionPattern.Causal)
            | None, None -> []

        // A model without windows has one way to say so.
        if found |> List.forall ((=) AttentionPattern.Causal) then
            []
        else
            found

    /// <summary><c>sliding_window</c>, or a standard one where the key is absent; null is none.</summary>
    let window (standard: int option) (config: JsonValue) : int option =
        if JsonValue.hasField "sliding_window" config then
            config
            |> JsonValue.tryField "sliding_window"
            |> Option.map (JsonValue.int 1 maximumId)
        else
            standard

    /// <summary>Writes <c>sliding_window</c> and <c>layer_types</c>.</summary>
    let writePatterns (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        let windows =
            config.Patterns
            |> List.choose (function
                | AttentionPattern.Sliding window -> Some window
                | _ -> None)

        match windows with
        | [] -> writer.WriteNull "sliding_window"
        | window :: _ -> writer.WriteNumber("sliding_window", window)

        writer.WriteStartArray "layer_types"

        for layer in 0 .. config.Layers - 1 do
            match config.Pattern layer with
            | AttentionPattern.Sliding _ -> writer.WriteStringValue "sliding_attention"
            | _ -> writer.WriteStringValue "full_attention"

        writer.WriteEndArray()

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
