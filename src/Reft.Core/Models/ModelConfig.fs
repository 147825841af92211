namespace Reft.Core

open TorchSharp

/// <summary>The shape of a decoder, whatever its family.</summary>
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
        /// Whether the head is the transposed embedding.
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
