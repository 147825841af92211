namespace Reft.Core

/// <summary>Qwen3: Qwen2 without biases, with a norm on every head's query and key.</summary>
[<RequireQualifiedAccess>]
module Qwen3 =

    let private standard =
        { ModelConfig.llama with
            Family = "qwen3"
            Context = 32768
            BosId = None
            EosIds = [] }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family
              "Qwen3ForCausalLM"
              standard
              { RotaryDecoder.llama with
                  QueryKeyNorm = QueryKeyNorm.PerHead } with
            ReadConfig =
                fun json ->
                    let config = RotaryDecoder.readConfig standard (Some 128) json

                    { config with
                        AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool false
                        Patterns = Qwen2.patterns config.Layers json }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writer.WriteBoolean("attention_bias", config.AttentionBias)
                    Qwen2.writePatterns config writer }
