namespace Reft.Core

/// <summary>OLMo 2: Llama with its norms behind attention and MLP, and a norm on all queries and all keys.</summary>
[<RequireQualifiedAccess>]
module Olmo2 =

    let private standard =
        { ModelConfig.llama with
            Family = "olmo2"
            NormEpsilon = 1e-5
            BosId = None
            EosIds = [ 50279 ]
            PadId = Some 1 }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family
              "Olmo2ForCausalLM"
              standard
              { RotaryDecoder.llama with
                  BeforeAttention = None
                  AfterAttention = Some "post_attention_layernorm"
                  BeforeMlp = None
                  AfterMlp = Some "post_feedforward_layernorm"
                  QueryKeyNorm = QueryKeyNorm.Whole } with
            ReadConfig =
                fun json ->
                    { RotaryDecoder.readConfig standard None json with
                        AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool false }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writer.WriteBoolean("attention_bias", config.AttentionBias) }
