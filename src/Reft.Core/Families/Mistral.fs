namespace Reft.Core

/// <summary>Mistral 7B and its kin: Llama whose every layer may see a window only.</summary>
[<RequireQualifiedAccess>]
module Mistral =

    let private standard =
        { ModelConfig.llama with
            Family = "mistral"
            Context = 131072 }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family "MistralForCausalLM" standard RotaryDecoder.llama with
            ReadConfig =
                fun json ->
                    let config = RotaryDecoder.readConfig standard None json
                    let window = ConfigKeys.window (Some 4096) json

                    { config with
                        Patterns = ConfigKeys.patterns window (fun _ -> true) config.Layers json }
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    ConfigKeys.writePatterns config writer }
