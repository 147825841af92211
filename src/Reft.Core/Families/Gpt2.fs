namespace Reft.Core

open System
open System.Text.Json

/// <summary>GPT-2: learnt positions, LayerNorm, an MLP without a gate, and matrices stored as [in, out].</summary>
[<RequireQualifiedAccess>]
module Gpt2 =

    let private standard =
        { ModelConfig.llama with
            Family = "gpt2"
            Context = 1024
            NormEpsilon = 1e-5
            TiedHead = true
            AttentionBias = true
            MlpBias = true
            Activation = "gelu_new"
            BosId = Some 50256
            EosIds = [ 50256 ] }

    let private readConfig (json: JsonValue) : ModelConfig =
        for key, computed in
            [ "add_cross_attention", false
              "reorder_and_upcast_attn", false
              "scale_attn_by_inverse_layer_idx", false ] do
            ConfigKeys.refuse key computed json

        let hidden = ConfigKeys.width "n_embd" json
        let heads = json |> JsonValue.field "n_head" |> JsonValue.int 1 hidden

        if hidden % heads <> 0 then
            raise (
                JsonValue.field "n_head" json
                |> JsonValue.unexpected $"a divisor of n_embd ({hidden})"
            )

        { standard with
            Hidden = hidden
            Layers = ConfigKeys.layers "n_layer" json
            Heads =
                { Heads = heads
                  KvHeads = heads
                  HeadDim = hidden / heads }
            Intermediate =
                json
                |> ConfigKeys.optional "n_inner" (JsonValue.int 1 (ConfigKeys.MaximumWidth * 4)) (4 * hidden)
            Vocabulary = ConfigKeys.vocabulary json
            Context = ConfigKeys.context "n_positions" standard.Context json
            NormEpsilon = json |> ConfigKeys.optional "layer_norm_epsilon" JsonValue.positive 1e-5
            AttentionScale =
                if json |> ConfigKeys.optional "scale_attn_weights" JsonValue.bool true then
                    None
                else
                    Some 1.0
            TiedHead = json |> ConfigKeys.optional "tie_word_embeddings" JsonValue.bool true
            Activation = json |> ConfigKeys.activation "activation_function" "gelu_new" }
        |> ConfigKeys.withTokenIds json

    let private writeConfig (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteNumber("n_embd", config.Hidden)
        writer.WriteNumber("n_layer", config.Layers)
        writer.WriteNumber("n_head", config.Heads.Heads)
        writer.WriteNumber("n_inner", config.Intermediate)
        writer.WriteNumber("vocab_size", config.Vocabulary)
        writer.WriteNumber("n_positions", config.Context)
        writer.WriteNumber("layer_norm_epsilon", config.NormEpsilon)
        writer.WriteBoolean("scale_attn_weights", config.AttentionScale.IsNone)
        writer.WriteBoolean("tie_word_embeddings", config.TiedHead)
        writer.WriteString("activation_function", config.Activation)
        ConfigKeys.writeTokenIds config writer

    let private conv name : LinearEntry =
        { Name = name
          Biased = true
          Transposed = true }

    /// The maps of a layer: inputs, outputs.
    let private convs (config: ModelConfig) =
        let hidden, inner = int64 config.Hidden, int64 config.Intermediate

        [ "attn.c_attn", hidden, 3L * hidden
          "attn.c_proj", hidden, hidden
          "mlp.c_fc", hidden, inner
          "mlp.c_proj", inner, hidden ]

    let private tensors (config: ModelConfig) : (string * int64 list) list =
        let hidden = int64 config.Hidden

        let layer i =
            [ for name, inputs, outputs in convs config do
                  yield! conv name |> FamilyParts.linearTensors outputs inputs
              for norm in [ "ln_1"; "ln_2" ] do
                  yield! FamilyParts.normTensors hidden norm ]
            |> List.map (fun (name, shape) -> $"transformer.h.{i}.{name}", shape)

        [ "transformer.wte.weight", [ int64 config.Vocabulary; hidden ]
          "transformer.wpe.weight", [ int64 config.Context; hidden ]
          yield! List.collect layer [ 0 .. config.Layers - 1 ]
          yield! FamilyParts.normTensors hidden "transformer.ln_f"
          if config.HasOwnLanguageHead then
              "lm_head.weight", [ int64 config.Vocabulary; hidden ]
          yield! SequenceHead.tensors SequenceHead.score config ]

    /// The causal mask that old files carry, and a head that is the embedding.
    let private ignorable (config: ModelConfig) (name: string) =
        name.EndsWith(".attn.bias", StringComparison.Ordinal)
        || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal)
        || (not config.HasOwnLanguageHead && name = "lm_head.weight")

    /// The hub's own GPT-2 files lack the prefix.
    let private rename =
        FamilyParts.withPrefix "transformer" [ "h."; "wte."; "wpe."; "ln_f." ]

    let private build (config: ModelConfig) (weights: Weights) : Transformer =
        let embeddings = weights.Tensor "transformer.wte.weight"
        let positions = weights.Tensor "transformer.wpe.weight"
        let dtype, device = embeddings.dtype, embeddings.device

        let norm = FamilyParts.layerNorm config weights

        let block layer =
            let at name = $"transformer.h.{layer}.{name}"

            Blocks.sequential
                { BeforeAttention = norm (at "ln_1")
                  AfterAttention = id
                  BeforeMlp = norm (at "ln_2")
                  AfterMlp = id }
                (Attention.self
                    { Shape = config.Heads
                      Scale = config.AttentionScale
                      Softcap = None
                      Mask = 0
                      Rope = None }
                    { QueryKeyValue = QueryKeyValue.Joined(weights.Linear(conv (at "attn.c_attn")))
                      QueryNorm = id
                      KeyNorm = id
                      Output = weights.Linear(conv (at "attn.c_proj")) }
                    layer)
                (Mlp.plain
                    (Activation.ofName config.Activation)
                    { Up = weights.Linear(conv (at "mlp.c_fc"))
                      Down = weights.Linear(conv (at "mlp.c_proj")) })

        { Config = config
          Dtype = dtype
          Device = device
          Prepare =
            fun context ->
                { context with
                    Masks = [| Context.mask dtype device AttentionPattern.Causal context |] }
          Embed =
            fun context ids ->
                Scope.run (fun () -> Embedding.rows embeddings ids .+ Embedding.positions 0 positions context)
          Blocks = Array.init config.Layers block
          Norm = norm "transformer.ln_f"
          LanguageHead = FamilyParts.languageHead config weights embeddings "lm_head"
          Taps = Array.create config.Layers Transformer.identityTap }

    /// <summary>The family.</summary>
    let family: Family =
        { Name = standard.Family
          Architecture = "GPT2LMHeadModel"
          SequenceHead = SequenceHead.score
          ReadConfig = readConfig
          WriteConfig = writeConfig
          Tensors = tensors
          Ignorable = ignorable
          Rename = rename
          Build = build }
