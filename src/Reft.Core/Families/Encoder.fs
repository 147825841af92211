namespace Reft.Core

open System
open System.Text.Json
open TorchSharp

/// <summary>In what the encoders differ.</summary>
[<NoEquality; NoComparison>]
type EncoderLayout =
    {
        /// What the names of the base model begin with.
        Prefix: string
        /// The names of the masked-language-model head: its dense layer, its norm, the bias of its map, and the map where
        /// it is not the embedding.
        HeadDense: string
        HeadNorm: string
        HeadBias: string
        HeadMap: string
        /// The activation function of the head's dense layer.
        HeadActivation: ModelConfig -> string
        /// The row of the first position in the table of positions.
        FirstPosition: ModelConfig -> int
        /// Further tensors that files may have and no computation reads.
        Ignorable: string -> bool
        /// The head for sequence classification.
        SequenceHead: SequenceHead
    }

/// <summary>
/// BERT and its kin: learnt positions and segments, blocks whose norms come last, attention in both directions, and a head
/// for masked language modelling.
/// </summary>
[<RequireQualifiedAccess>]
module Encoder =

    let private linear name = FamilyParts.linear name true

    /// The maps of a layer: outputs, inputs.
    let private linears (config: ModelConfig) =
        let hidden, inner = int64 config.Hidden, int64 config.Intermediate

        [ "attention.self.query", hidden, hidden
          "attention.self.key", hidden, hidden
          "attention.self.value", hidden, hidden
          "attention.output.dense", hidden, hidden
          "intermediate.dense", inner, hidden
          "output.dense", hidden, inner ]

    let private norms = [ "attention.output.LayerNorm"; "output.LayerNorm" ]

    let private tensors layout (config: ModelConfig) : (string * int64 list) list =
        let hidden, vocabulary = int64 config.Hidden, int64 config.Vocabulary
        let embeddings name = $"{layout.Prefix}.embeddings.{name}"

        let norm = FamilyParts.normTensors hidden

        let layer i =
            [ for name, outputs, inputs in linears config do
                  yield! linear name |> FamilyParts.linearTensors outputs inputs
              yield! List.collect norm norms ]
            |> List.map (fun (name, shape) -> $"{layout.Prefix}.encoder.layer.{i}.{name}", shape)

        [ embeddings "word_embeddings.weight", [ vocabulary; hidden ]
          embeddings "position_embeddings.weight", [ int64 (config.Context + layout.FirstPosition config); hidden ]
          embeddings "token_type_embeddings.weight", [ int64 config.SegmentTypes; hidden ]
          yield! norm (embeddings "LayerNorm")
          yield! List.collect layer [ 0 .. config.Layers - 1 ]
          if config.Head = CheckpointHead.Language then
              yield! linear layout.HeadDense |> FamilyParts.linearTensors hidden hidden
              yield! norm layout.HeadNorm
              layout.HeadBias, [ vocabulary ]
          if config.HasOwnLanguageHead then
              $"{layout.HeadMap}.weight", [ vocabulary; hidden ]
          yield! SequenceHead.tensors layout.SequenceHead config ]

    /// Buffers of old files, and a head's map that is the embedding or whose bias stands under two names.
    let private ignorable layout (config: ModelConfig) (name: string) =
        name = $"{layout.Prefix}.embeddings.position_ids"
        || name = $"{layout.Prefix}.embeddings.token_type_ids"
        || name = $"{layout.HeadMap}.bias"
        || (not config.HasOwnLanguageHead && name = $"{layout.HeadMap}.weight")
        || layout.Ignorable name

    let private replaceEnd (old: string) (current: string) (name: string) =
        if name.EndsWith(old, StringComparison.Ordinal) then
            name.Substring(0, name.Length - old.Length) + current
        else
            name

    /// Files converted from TensorFlow call a norm's weight and bias gamma and beta; those of the bare model lack the prefix.
    let private rename layout (name: string) =
        name
        |> replaceEnd "LayerNorm.gamma" "LayerNorm.weight"
        |> replaceEnd "LayerNorm.beta" "LayerNorm.bias"
        |> FamilyParts.withPrefix layout.Prefix [ "embeddings."; "encoder."; "pooler." ]

    let private build layout (config: ModelConfig) (weights: Weights) : Transformer =
        let table name =
            weights.Tensor $"{layout.Prefix}.embeddings.{name}.weight"

        let words, positions, segments =
            table "word_embeddings", table "position_embeddings", table "token_type_embeddings"

        let dtype, device = words.dtype, words.device

        let norm = FamilyParts.layerNorm config weights

        let embeddingNorm = norm $"{layout.Prefix}.embeddings.LayerNorm"
        let first = layout.FirstPosition config

        let block layer =
            let at name =
                $"{layout.Prefix}.encoder.layer.{layer}.{name}"

            let find name = weights.Linear(linear (at name))

            Blocks.postNorm
                (norm (at "attention.output.LayerNorm"))
                (norm (at "output.LayerNorm"))
                (Attention.self
                    { Shape = config.Heads
                      Scale = None
                      Softcap = None
                      Mask = 0
                      Rope = None }
                    { QueryKeyValue =
                        QueryKeyValue.Separate(
                            find "attention.self.query",
                            find "attention.self.key",
                            find "attention.self.value"
                        )
                      QueryNorm = id
                      KeyNorm = id
                      Output = find "attention.output.dense" }
                    layer)
                (Mlp.plain
                    (Activation.ofName config.Activation)
                    { Up = find "intermediate.dense"
                      Down = find "output.dense" })

        let languageHead () =
            let dense = weights.Linear(linear layout.HeadDense)
            let act = Activation.ofName (layout.HeadActivation config)
            let headNorm = norm layout.HeadNorm

            { LanguageHead.ofMap (
                  Linear.dense
                      (Some(weights.Tensor layout.HeadBias))
                      (if config.TiedHead then
                           words
                       else
                           weights.Tensor $"{layout.HeadMap}.weight")
              ) with
                Transform = fun h -> Scope.run (fun () -> h |> Linear.apply dense |> act.Apply |> headNorm) }

        { Config = config
          Dtype = dtype
          Device = device
          Prepare =
            fun context ->
                { context with
                    Masks = [| Context.mask dtype device AttentionPattern.Bidirectional context |] }
          Embed =
            fun context ids ->
                Scope.run (fun () ->
                    let segment =
                        match context.Segments with
                        | Some numbers -> Embedding.rows segments numbers
                        | None -> segments.narrow (0L, 0L, 1L)

                    Embedding.rows words ids
                    .+ segment
                    .+ Embedding.positions first positions context
                    |> embeddingNorm)
          Blocks = Array.init config.Layers block
          Norm = id
          LanguageHead = LanguageHead.ofCheckpoint config.Head languageHead
          Taps = Array.create config.Layers Transformer.identityTap }

    let private readConfig (standard: ModelConfig) layout (json: JsonValue) : ModelConfig =
        for key in [ "is_decoder"; "add_cross_attention" ] do
            ConfigKeys.refuse key false json

        match JsonValue.tryField "position_embedding_type" json with
        | Some kind when JsonValue.string kind <> "absolute" ->
            raise (JsonValue.unexpected "absolute positions, as Reft computes no others" kind)
        | _ -> ()

        let hidden = ConfigKeys.width "hidden_size" json
        let layers = ConfigKeys.layers "num_hidden_layers" json

        let config =
            { standard with
                Hidden = hidden
                Layers = layers
                Heads = FamilyParts.ownHeads hidden json
                Intermediate = ConfigKeys.inner "intermediate_size" json
                Vocabulary = ConfigKeys.vocabulary json
                NormEpsilon = json |> ConfigKeys.optional "layer_norm_eps" JsonValue.positive 1e-12
                Patterns = List.replicate layers AttentionPattern.Bidirectional
                SegmentTypes = json |> ConfigKeys.optional "type_vocab_size" (JsonValue.int 1 65536) 2
                TiedHead = json |> ConfigKeys.optional "tie_word_embeddings" JsonValue.bool true
                Activation = json |> ConfigKeys.activation "hidden_act" "gelu" }
            |> ConfigKeys.withTokenIds json

        let first = layout.FirstPosition config
        let rows = json |> ConfigKeys.context "max_position_embeddings" 512

        if rows <= first then
            raise (
                JsonValue.field "max_position_embeddings" json
                |> JsonValue.unexpected $"more than {first} rows, as the positions begin in row {first}"
            )

        { config with Context = rows - first }

    let private writeConfig layout (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteNumber("hidden_size", config.Hidden)
        writer.WriteNumber("num_hidden_layers", config.Layers)
        writer.WriteNumber("num_attention_heads", config.Heads.Heads)
        writer.WriteNumber("intermediate_size", config.Intermediate)
        writer.WriteNumber("vocab_size", config.Vocabulary)
        writer.WriteNumber("max_position_embeddings", config.Context + layout.FirstPosition config)
        writer.WriteNumber("type_vocab_size", config.SegmentTypes)
        writer.WriteNumber("layer_norm_eps", config.NormEpsilon)
        writer.WriteBoolean("tie_word_embeddings", config.TiedHead)
        writer.WriteString("hidden_act", config.Activation)
        ConfigKeys.writeTokenIds config writer

    /// <summary>A family of this kind.</summary>
    /// <param name="architecture">Its class for masked language modelling in transformers.</param>
    /// <param name="standard">Its name, and what its class has where a file says nothing.</param>
    /// <param name="layout">In what it differs.</param>
    let family (architecture: string) (standard: ModelConfig) (layout: EncoderLayout) : Family =
        { Name = standard.Family
          Architecture = architecture
          SequenceHead = layout.SequenceHead
          ReadConfig = readConfig standard layout
          WriteConfig = writeConfig layout
          Tensors = tensors layout
          Ignorable = ignorable layout
          Rename = rename layout
          Build = build layout }
