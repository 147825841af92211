namespace Reft.Core

open System
open System.Text.Json

/// <summary>
/// Gemma 2: Gemma with norms on both sides of attention and MLP, capped scores and logits, and a window in every other
/// layer.
/// </summary>
[<RequireQualifiedAccess>]
module Gemma2 =

    let private standard =
        { Gemma.standard with
            Family = "gemma2" }

    /// <summary>The layout that Gemma 2 and 3 share.</summary>
    let layout: RotaryLayout =
        { Gemma.layout with
            AfterAttention = Some "post_attention_layernorm"
            BeforeMlp = Some "pre_feedforward_layernorm"
            AfterMlp = Some "post_feedforward_layernorm" }

    let private cap key standard json =
        if JsonValue.hasField key json then
            ConfigKeys.tryPositive key json
        else
            standard

    /// <summary>The keys of Gemma 2 and 3.</summary>
    /// <param name="standard">What the class has.</param>
    /// <param name="slides">Which layers have a window, where the file does not list them.</param>
    /// <param name="json">The file.</param>
    let readConfig (standard: ModelConfig) (slides: int -> bool) (json: JsonValue) : ModelConfig =
        let config = Gemma.readConfig standard json

        let scalar =
            json |> ConfigKeys.optional "query_pre_attn_scalar" JsonValue.positive 256.0

        { config with
            AttentionScale = Some(1.0 / sqrt scalar)
            AttentionSoftcap = json |> cap "attn_logit_softcapping" standard.AttentionSoftcap
            LogitSoftcap = json |> cap "final_logit_softcapping" standard.LogitSoftcap
            Patterns = ConfigKeys.patterns (ConfigKeys.window (Some 4096) json) slides config.Layers json }

    /// <summary>Writes what <see cref="M:Reft.Core.Gemma2.readConfig"/> reads.</summary>
    let writeConfig (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        let cap (key: string) (value: float option) =
            match value with
            | Some value -> writer.WriteNumber(key, value)
            | None -> writer.WriteNull key

        Gemma.family.WriteConfig config writer

        let scale =
            config.AttentionScale
            |> Option.defaultValue (1.0 / sqrt (float config.Heads.HeadDim))
        // 1 / s² is a whole number but for rounding.
        writer.WriteNumber("query_pre_attn_scalar", Math.Round(1.0 / (scale * scale), 6))
        cap "attn_logit_softcapping" config.AttentionSoftcap
        cap "final_logit_softcapping" config.LogitSoftcap
        ConfigKeys.writePatterns config writer

    let private capped =
        { standard with
            AttentionSoftcap = Some 50.0
            LogitSoftcap = Some 30.0 }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family "Gemma2ForCausalLM" capped layout with
            ReadConfig = readConfig capped (fun layer -> layer % 2 = 0)
            WriteConfig = writeConfig }
