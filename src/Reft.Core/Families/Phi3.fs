namespace Reft.Core

/// <summary>Phi-3 and Phi-4-mini: Llama with q, k, v in one tensor, gate and up in another, and perhaps LongRoPE.</summary>
[<RequireQualifiedAccess>]
module Phi3 =

    let private standard =
        { ModelConfig.llama with
            Family = "phi3"
            Context = 4096
            NormEpsilon = 1e-5
            EosIds = [ 32000 ]
            PadId = Some 32000 }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family
              "Phi3ForCausalLM"
              standard
              { RotaryDecoder.llama with
                  Joined = true } with
            ReadConfig =
                fun json ->
                    let config = RotaryDecoder.readConfig standard None json
                    let window = ConfigKeys.window None json

                    { config with
                        AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool false
                        Patterns = ConfigKeys.patterns window (fun _ -> true) config.Layers json }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writer.WriteBoolean("attention_bias", config.AttentionBias)
                    ConfigKeys.writePatterns config writer }
