namespace Reft.Core

/// <summary>Llama 1, 2, 3, 3.1 and 3.2.</summary>
[<RequireQualifiedAccess>]
module Llama =

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family "LlamaForCausalLM" ModelConfig.llama RotaryDecoder.llama with
            ReadConfig =
                fun json ->
                    { RotaryDecoder.readConfig ModelConfig.llama None json with
                        AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool false
                        MlpBias = json |> ConfigKeys.optional "mlp_bias" JsonValue.bool false }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writer.WriteBoolean("attention_bias", config.AttentionBias)
                    writer.WriteBoolean("mlp_bias", config.MlpBias) }

    /// <summary>Every tensor of a checkpoint with its shape, in the order of the layers.</summary>
    let tensors (config: ModelConfig) : (string * int64 list) list = family.Tensors config

    /// <summary>The model whose weights <paramref name="weight"/> gives by name.</summary>
    /// <param name="config">Its shape.</param>
    /// <param name="weight">Name → tensor, of the shapes of <see cref="M:Reft.Core.Llama.tensors"/>.</param>
    let build (config: ModelConfig) (weight: string -> Tensor) : Transformer =
        family.Build config (Weights.ofTensors weight)
