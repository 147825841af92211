namespace Reft.Core

/// <summary>Qwen2 and Qwen2.5: Llama with biases on queries, keys and values, and perhaps windows in its upper layers.</summary>
[<RequireQualifiedAccess>]
module Qwen2 =

    let private standard =
        { ModelConfig.llama with
            Family = "qwen2"
            Context = 32768
            AttentionBias = true
            BosId = None
            EosIds = [] }

    /// <summary>What the layers see: windows only where <c>use_sliding_window</c> says so, from <c>max_window_layers</c> on.</summary>
    let patterns (layers: int) (json: JsonValue) : AttentionPattern list =
        if json |> ConfigKeys.optional "use_sliding_window" JsonValue.bool false then
            let first =
                json
                |> ConfigKeys.optional "max_window_layers" (JsonValue.int 0 System.Int32.MaxValue) 28

            ConfigKeys.patterns (ConfigKeys.window (Some 4096) json) (fun layer -> layer >= first) layers json
        else
            []

    /// <summary>Writes what <see cref="M:Reft.Core.Qwen2.patterns"/> reads.</summary>
    let writePatterns (config: ModelConfig) (writer: System.Text.Json.Utf8JsonWriter) : unit =
        writer.WriteBoolean("use_sliding_window", not config.Patterns.IsEmpty)
        ConfigKeys.writePatterns config writer

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family
              "Qwen2ForCausalLM"
              standard
              { RotaryDecoder.llama with
                  OutputUnbiased = true } with
            ReadConfig =
                fun json ->
                    let config = RotaryDecoder.readConfig standard None json

                    { config with
                        Patterns = patterns config.Layers json }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writePatterns config writer }
