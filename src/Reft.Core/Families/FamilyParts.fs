namespace Reft.Core

open System

/// <summary>What the tables and the blocks of several families have in common.</summary>
[<RequireQualifiedAccess>]
module FamilyParts =

    /// <summary>The entry of a map that is stored as [out, in].</summary>
    let linear (name: string) (biased: bool) : LinearEntry =
        { Name = name
          Biased = biased
          Transposed = false }

    /// <summary>A map's tensors with their shapes.</summary>
    let linearTensors (outputs: int64) (inputs: int64) (entry: LinearEntry) : (string * int64 list) list =
        [ $"{entry.Name}.weight",
          (if entry.Transposed then
               [ inputs; outputs ]
           else
               [ outputs; inputs ])
          if entry.Biased then
              $"{entry.Name}.bias", [ outputs ] ]

    /// <summary>A LayerNorm's tensors with their shapes.</summary>
    let normTensors (width: int64) (name: string) : (string * int64 list) list =
        [ $"{name}.weight", [ width ]; $"{name}.bias", [ width ] ]

    /// <summary>The LayerNorm of a name.</summary>
    let layerNorm (config: ModelConfig) (weights: Weights) (name: string) : Tensor -> Tensor =
        Norm.layer config.NormEpsilon (weights.Tensor $"{name}.weight") (weights.Tensor $"{name}.bias")

    /// <summary>The language-model head of a map without bias, or of the embeddings where it is tied to them.</summary>
    let languageHead
        (config: ModelConfig)
        (weights: Weights)
        (embeddings: Tensor)
        (name: string)
        : LanguageHead option =
        LanguageHead.ofCheckpoint config.Head (fun () ->
            { LanguageHead.ofMap (
                  if config.TiedHead then
                      Linear.dense None embeddings
                  else
                      weights.Linear(linear name false)
              ) with
                Softcap = config.LogitSoftcap })

    /// <summary>
    /// The name of a tensor in files of the bare model, without a head, which lack the prefix of everything beneath it.
    /// </summary>
    /// <param name="prefix">E.g. <c>model</c>.</param>
    /// <param name="starts">How the names without it begin, e.g. <c>layers.</c>.</param>
    /// <param name="name">The name in the file.</param>
    let withPrefix (prefix: string) (starts: string list) (name: string) : string =
        if
            starts
            |> List.exists (fun start -> name.StartsWith(start, StringComparison.Ordinal))
        then
            $"{prefix}.{name}"
        else
            name

    /// <summary>Heads under Llama's keys that share the hidden width, each with a key and a value of its own.</summary>
    let ownHeads (hidden: int) (json: JsonValue) : HeadShape =
        let heads = ConfigKeys.heads hidden None json

        if heads.KvHeads <> heads.Heads || heads.Heads * heads.HeadDim <> hidden then
            raise (
                JsonValue.field "num_attention_heads" json
                |> JsonValue.unexpected
                    $"heads that share hidden_size ({hidden}), each with a key and a value of its own"
            )

        heads
