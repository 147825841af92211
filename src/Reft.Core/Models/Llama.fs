namespace Reft.Core

open TorchSharp

/// <summary>The Llama family (Llama 1, 2, 3, 3.1, 3.2): config → blocks, and its tensor names as a data table.</summary>
[<RequireQualifiedAccess>]
module Llama =

    let private embedding = "model.embed_tokens.weight"
    let private finalNorm = "model.norm.weight"
    let private head = "lm_head.weight"

    /// <summary>Every tensor of a checkpoint with its shape, in the order of the layers.</summary>
    let tensors (config: ModelConfig) : (string * int64 list) list =
        let hidden, inner = int64 config.Hidden, int64 config.Intermediate
        let query = int64 (config.Heads.Heads * config.Heads.HeadDim)
        let kv = int64 (config.Heads.KvHeads * config.Heads.HeadDim)

        let linear name outputs inputs biased =
            [ $"{name}.weight", [ outputs; inputs ]
              if biased then
                  $"{name}.bias", [ outputs ] ]

        let layer i =
            [ yield! linear "self_attn.q_proj" query hidden config.AttentionBias
              yield! linear "self_attn.k_proj" kv hidden config.AttentionBias
              yield! linear "self_attn.v_proj" kv hidden config.AttentionBias
              yield! linear "self_attn.o_proj" hidden query config.AttentionBias
              yield! linear "mlp.gate_proj" inner hidden config.MlpBias
              yield! linear "mlp.up_proj" inner hidden config.MlpBias
              yield! linear "mlp.down_proj" hidden inner config.MlpBias
              "input_layernorm.weight", [ hidden ]
              "post_attention_layernorm.weight", [ hidden ] ]
            |> List.map (fun (name, shape) -> $"model.layers.{i}.{name}", shape)

        [ embedding, [ int64 config.Vocabulary; hidden ]
          yield! List.collect layer [ 0 .. config.Layers - 1 ]
          finalNorm, [ hidden ]
          if not config.TiedHead then
              head, [ int64 config.Vocabulary; hidden ] ]

    /// <summary>Tensors that old checkpoints carry and no computation reads.</summary>
    let ignorable (config: ModelConfig) (name: string) : bool =
        name.EndsWith("rotary_emb.inv_freq", System.StringComparison.Ordinal)
        || (config.TiedHead && name = head)

    /// <summary>The model whose weights <paramref name="weight"/> gives by name.</summary>
    /// <param name="config">Its shape.</param>
    /// <param name="weight">Name → tensor, of the shapes of <see cref="M:Reft.Core.LlamaModule.tensors"/>.</param>
    let build (config: ModelConfig) (weight: string -> Tensor) : Transformer =
        let embeddings = weight embedding
        let dtype, device = embeddings.dtype, embeddings.device

        let norm name =
            Norm.rms config.NormEpsilon (weight name)

        let linear biased name =
            { Weight = weight $"{name}.weight"
              Bias = if biased then Some(weight $"{name}.bias") else None }

        let block layer : Block =
            let at name = $"model.layers.{layer}.{name}"

            let attention =
                Attention.rotary
                    config.Heads
                    { Query = linear config.AttentionBias (at "self_attn.q_proj")
                      Key = linear config.AttentionBias (at "self_attn.k_proj")
                      Value = linear config.AttentionBias (at "self_attn.v_proj")
                      Output = linear config.AttentionBias (at "self_attn.o_proj") }
                    layer
                    0

            let mlp =
                Mlp.gated
                    (Activation.ofName config.Activation)
                    { Gate = linear config.MlpBias (at "mlp.gate_proj")
                      Up = linear config.MlpBias (at "mlp.up_proj")
                      Down = linear config.MlpBias (at "mlp.down_proj") }

            let attentionNorm = norm (at "input_layernorm.weight")
            let mlpNorm = norm (at "post_attention_layernorm.weight")

            fun tap context h ->
                Scope.run (fun () ->
                    let h = h |> tap Component.BlockInput

                    let a =
                        h
                        |> attentionNorm
                        |> tap Component.AttentionInput
                        |> attention tap context
                        |> tap Component.AttentionOutput

                    let h = h + a

                    let m = h |> mlpNorm |> tap Component.MlpInput |> mlp tap |> tap Component.MlpOutput

                    h + m |> tap Component.BlockOutput)

        let frequencies =
            Rotary.inverseFrequencies config.Heads.HeadDim config.RopeTheta config.RopeScaling

        { Config = config
          Dtype = dtype
          Device = device
          Prepare =
            fun context ->
                { context with
                    Rotary = [| Rotary.tables dtype device frequencies context |] }
          Embed =
            fun ids ->
                embeddings.index_select(0L, ids.reshape -1L).view(ids.shape[0], ids.shape[1], int64 config.Hidden)
          Blocks = Array.init config.Layers block
          Norm = norm finalNorm
          Head =
            { Weight = if config.TiedHead then embeddings else weight head
              Bias = None }
          Taps = Array.create config.Layers Transformer.identityTap }
