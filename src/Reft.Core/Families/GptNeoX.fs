namespace Reft.Core

open System
open System.Text.Json

/// <summary>
/// GPT-NeoX and Pythia: attention and MLP beside each other, LayerNorm, rotary positions on part of a head, and an MLP
/// without a gate.
/// </summary>
[<RequireQualifiedAccess>]
module GptNeoX =

    let private standard =
        { ModelConfig.llama with
            Family = "gpt_neox"
            NormEpsilon = 1e-5
            RotaryShare = 0.25
            ParallelResidual = true
            AttentionBias = true
            MlpBias = true
            Activation = "gelu"
            BosId = Some 0
            EosIds = [ 2 ] }

    let private readConfig (json: JsonValue) : ModelConfig =
        let hidden = ConfigKeys.width "hidden_size" json

        { standard with
            Hidden = hidden
            Layers = ConfigKeys.layers "num_hidden_layers" json
            Heads = FamilyParts.ownHeads hidden json
            Intermediate = ConfigKeys.inner "intermediate_size" json
            Vocabulary = ConfigKeys.vocabulary json
            Context = ConfigKeys.context "max_position_embeddings" standard.Context json
            NormEpsilon = json |> ConfigKeys.optional "layer_norm_eps" JsonValue.positive 1e-5
            ParallelResidual = json |> ConfigKeys.optional "use_parallel_residual" JsonValue.bool true
            TiedHead = json |> ConfigKeys.optional "tie_word_embeddings" JsonValue.bool false
            AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool true
            Activation = json |> ConfigKeys.activation "hidden_act" "gelu" }
        |> RopeKeys.read json
        |> ConfigKeys.withTokenIds json

    let private writeConfig (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteNumber("hidden_size", config.Hidden)
        writer.WriteNumber("num_hidden_layers", config.Layers)
        writer.WriteNumber("num_attention_heads", config.Heads.Heads)
        writer.WriteNumber("intermediate_size", config.Intermediate)
        writer.WriteNumber("vocab_size", config.Vocabulary)
        writer.WriteNumber("max_position_embeddings", config.Context)
        writer.WriteNumber("layer_norm_eps", config.NormEpsilon)
        RopeKeys.write config writer
        // What is 1 there is left out, and absent is a quarter here.
        writer.WriteNumber("rotary_pct", config.RotaryShare)
        writer.WriteBoolean("use_parallel_residual", config.ParallelResidual)
        writer.WriteBoolean("tie_word_embeddings", config.TiedHead)
        writer.WriteBoolean("attention_bias", config.AttentionBias)
        writer.WriteString("hidden_act", config.Activation)
        ConfigKeys.writeTokenIds config writer

    /// The maps of a layer: outputs, inputs.
    let private linears (config: ModelConfig) =
        let hidden, inner = int64 config.Hidden, int64 config.Intermediate

        [ FamilyParts.linear "attention.query_key_value" config.AttentionBias, 3L * hidden, hidden
          FamilyParts.linear "attention.dense" config.AttentionBias, hidden, hidden
          FamilyParts.linear "mlp.dense_h_to_4h" true, inner, hidden
          FamilyParts.linear "mlp.dense_4h_to_h" true, hidden, inner ]

    let private tensors (config: ModelConfig) : (string * int64 list) list =
        let hidden = int64 config.Hidden

        let layer i =
            [ for entry, outputs, inputs in linears config do
                  yield! entry |> FamilyParts.linearTensors outputs inputs
              for norm in [ "input_layernorm"; "post_attention_layernorm" ] do
                  yield! FamilyParts.normTensors hidden norm ]
            |> List.map (fun (name, shape) -> $"gpt_neox.layers.{i}.{name}", shape)

        [ "gpt_neox.embed_in.weight", [ int64 config.Vocabulary; hidden ]
          yield! List.collect layer [ 0 .. config.Layers - 1 ]
          yield! FamilyParts.normTensors hidden "gpt_neox.final_layer_norm"
          if config.HasOwnLanguageHead then
              "embed_out.weight", [ int64 config.Vocabulary; hidden ]
          yield! SequenceHead.tensors SequenceHead.score config ]

    /// The masks and frequencies that old files carry, and a head that is the embedding.
    let private ignorable (config: ModelConfig) (name: string) =
        [ ".attention.bias"; ".attention.masked_bias"; "rotary_emb.inv_freq" ]
        |> List.exists (fun ending -> name.EndsWith(ending, StringComparison.Ordinal))
        || (not config.HasOwnLanguageHead && name = "embed_out.weight")

    let private rename =
        FamilyParts.withPrefix "gpt_neox" [ "layers."; "embed_in."; "final_layer_norm." ]

    let private build (config: ModelConfig) (weights: Weights) : Transformer =
        let embeddings = weights.Tensor "gpt_neox.embed_in.weight"
        let dtype, device = embeddings.dtype, embeddings.device
        let turning = int (float config.Heads.HeadDim * config.RotaryShare)

        let norm = FamilyParts.layerNorm config weights

        let block layer =
            let at name = $"gpt_neox.layers.{layer}.{name}"

            let attention =
                Attention.self
                    { Shape = config.Heads
                      Scale = config.AttentionScale
                      Softcap = None
                      Mask = 0
                      Rope = Some 0 }
                    { QueryKeyValue =
                        QueryKeyValue.Interleaved(
                            weights.Linear(FamilyParts.linear (at "attention.query_key_value") config.AttentionBias)
                        )
                      QueryNorm = id
                      KeyNorm = id
                      Output = weights.Linear(FamilyParts.linear (at "attention.dense") config.AttentionBias) }
                    layer

            let mlp =
                Mlp.plain
                    (Activation.ofName config.Activation)
                    { Up = weights.Linear(FamilyParts.linear (at "mlp.dense_h_to_4h") true)
                      Down = weights.Linear(FamilyParts.linear (at "mlp.dense_4h_to_h") true) }

            let attentionNorm, mlpNorm =
                norm (at "input_layernorm"), norm (at "post_attention_layernorm")

            if config.ParallelResidual then
                Blocks.parallelResidual attentionNorm mlpNorm attention mlp
            else
                Blocks.sequential
                    { BeforeAttention = attentionNorm
                      AfterAttention = id
                      BeforeMlp = mlpNorm
                      AfterMlp = id }
                    attention
                    mlp

        { Config = config
          Dtype = dtype
          Device = device
          Prepare =
            fun context ->
                { context with
                    Masks = [| Context.mask dtype device AttentionPattern.Causal context |]
                    Rotary = [| Rotary.tables dtype device turning config.RopeTheta config.RopeScaling context |] }
          Embed = fun _ ids -> ids |> Embedding.rows embeddings
          Blocks = Array.init config.Layers block
          Norm = norm "gpt_neox.final_layer_norm"
          LanguageHead = FamilyParts.languageHead config weights embeddings "embed_out"
          Taps = Array.create config.Layers Transformer.identityTap }

    /// <summary>The family.</summary>
    let family: Family =
        { Name = standard.Family
          Architecture = "GPTNeoXForCausalLM"
          SequenceHead = SequenceHead.score
          ReadConfig = readConfig
          WriteConfig = writeConfig
          Tensors = tensors
          Ignorable = ignorable
          Rename = rename
          Build = build }
