namespace Reft.Core

open TorchSharp

/// <summary>The shape of a model, whatever its family.</summary>
type ModelConfig =
    {
        /// Hugging Face's <c>model_type</c>, e.g. <c>llama</c>.
        Family: string
        /// The width of the residual stream.
        Hidden: int
        /// The number of blocks.
        Layers: int
        /// Query, key/value heads and their width.
        Heads: HeadShape
        /// The MLP's inner width.
        Intermediate: int
        /// The number of token ids.
        Vocabulary: int
        /// The longest sequence the model was made for.
        Context: int
        /// The ε of its norms.
        NormEpsilon: float
        /// The base of the rotary frequencies.
        RopeTheta: float
        /// How they are stretched.
        RopeScaling: RopeScaling
        /// The base of layers that see a window only, where it is another one; they are never stretched.
        LocalRopeTheta: float option
        /// The part of a head's dimensions that turns.
        RotaryShare: float
        /// What each layer sees; empty where all are causal.
        Patterns: AttentionPattern list
        /// What queries times keys are multiplied by; <c>None</c> is 1 / √head_dim.
        AttentionScale: float option
        /// c of the attention scores' cap c tanh(s / c).
        AttentionSoftcap: float option
        /// c of the logits' cap c tanh(z / c).
        LogitSoftcap: float option
        /// Whether attention and MLP of a block read the same hidden states.
        ParallelResidual: bool
        /// How many kinds of segments an encoder tells apart.
        SegmentTypes: int
        /// The head that the checkpoint brings.
        Head: CheckpointHead
        /// Whether the language-model head is the transposed embedding.
        TiedHead: bool
        /// Whether the attention's maps have biases.
        AttentionBias: bool
        /// Whether the MLP's maps have biases.
        MlpBias: bool
        /// The MLP's activation function, by name.
        Activation: string
        /// Beginning of sequence.
        BosId: int option
        /// Ends of sequence, as <c>config.json</c> gives them.
        EosIds: int list
        /// Padding.
        PadId: int option
    }

    /// <summary>What a layer sees.</summary>
    member config.Pattern(layer: int) : AttentionPattern =
        config.Patterns
        |> List.tryItem layer
        |> Option.defaultValue AttentionPattern.Causal

    /// <summary>Whether no token sees what comes after it, so that the model can generate.</summary>
    member config.Causal: bool =
        not (List.contains AttentionPattern.Bidirectional config.Patterns)

    /// <summary>Whether the checkpoint has a language-model head whose matrix is not the embedding.</summary>
    member config.HasOwnLanguageHead: bool =
        config.Head = CheckpointHead.Language && not config.TiedHead

    /// <summary>The width of a component, or of some of its heads.</summary>
    /// <exception cref="T:System.ArgumentException">The site has a layer or heads that the model has not.</exception>
    member config.Width(site: Site) : int =
        if site.Layer < 0 || site.Layer >= config.Layers then
            invalidArg
                (nameof site)
                $"{site} is not in the model: expected a layer of 0 … {config.Layers - 1}, found {site.Layer}"

        let heads =
            match site.Component with
            | Component.Key
            | Component.Value -> config.Heads.KvHeads
            | _ -> config.Heads.Heads

        match site.Heads with
        | Some range when range.First + range.Count > heads ->
            invalidArg
                (nameof site)
                $"{site} is not in the model: expected heads of 0 … {heads - 1}, found {range.First} … {range.First + range.Count - 1}"
        | Some range -> range.Count * config.Heads.HeadDim
        | None ->
            match site.Component with
            | Component.Query
            | Component.Key
            | Component.Value
            | Component.AttentionValue -> heads * config.Heads.HeadDim
            | Component.MlpGate
            | Component.MlpActivation -> config.Intermediate
            | _ -> config.Hidden

/// <summary>Shapes of models.</summary>
[<RequireQualifiedAccess>]
module ModelConfig =

    /// <summary>
    /// A Llama without a size: give it <c>Hidden</c>, <c>Layers</c>, <c>Heads</c>, <c>Intermediate</c>,
    /// <c>Vocabulary</c> and whatever else differs.
    /// </summary>
    let llama: ModelConfig =
        { Family = "llama"
          Hidden = 0
          Layers = 0
          Heads = { Heads = 1; KvHeads = 1; HeadDim = 2 }
          Intermediate = 0
          Vocabulary = 0
          Context = 2048
          NormEpsilon = 1e-6
          RopeTheta = 10000.0
          RopeScaling = RopeScaling.Default
          LocalRopeTheta = None
          RotaryShare = 1.0
          Patterns = []
          AttentionScale = None
          AttentionSoftcap = None
          LogitSoftcap = None
          ParallelResidual = false
          SegmentTypes = 0
          Head = CheckpointHead.Language
          TiedHead = false
          AttentionBias = false
          MlpBias = false
          Activation = "silu"
          BosId = Some 1
          EosIds = [ 2 ]
          PadId = None }
