namespace Reft.Core

/// <summary>
/// Gemma 3's text model: Gemma 2 without caps, with a norm on every head's query and key, five layers with a window to one
/// without, and another rotary base for those with one.
/// </summary>
[<RequireQualifiedAccess>]
module Gemma3 =

    let private standard =
        { Gemma.standard with
            Family = "gemma3_text"
            Context = 131072
            RopeTheta = 1e6
            LocalRopeTheta = Some 1e4 }

    let private readConfig (json: JsonValue) =
        let every =
            [ "sliding_window_pattern"; "_sliding_window_pattern" ]
            |> List.tryPick (fun key -> JsonValue.tryField key json)
            |> Option.map (JsonValue.int 1 System.Int32.MaxValue)
            |> Option.defaultValue 6

        Gemma2.readConfig standard (fun layer -> (layer + 1) % every <> 0) json

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family
              "Gemma3ForCausalLM"
              standard
              { Gemma2.layout with
                  QueryKeyNorm = QueryKeyNorm.PerHead } with
            ReadConfig = readConfig
            WriteConfig = Gemma2.writeConfig }
