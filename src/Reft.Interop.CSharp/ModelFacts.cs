namespace Reft;

/// <summary>The shape of a model, and how it was loaded.</summary>
public sealed record ModelFacts
{
    /// <summary>The folder that it was loaded from.</summary>
    public required string Folder { get; init; }

    /// <summary>Hugging Face's <c>model_type</c>, e.g. <c>llama</c>.</summary>
    public required string Family { get; init; }

    /// <summary>The width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>The number of blocks.</summary>
    public required int LayerCount { get; init; }

    /// <summary>The number of attention heads.</summary>
    public required int HeadCount { get; init; }

    /// <summary>The number of key and value heads.</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>The width of one head.</summary>
    public required int HeadSize { get; init; }

    /// <summary>The MLP's inner width.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>The number of token ids.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>The longest sequence that the model was made for, in tokens.</summary>
    public required int ContextLength { get; init; }

    /// <summary>The numbers it computes in, e.g. <c>bfloat16</c>.</summary>
    public required string Dtype { get; init; }

    /// <summary>How it keeps the matrices of its blocks.</summary>
    public required WeightStorage Weights { get; init; }

    /// <summary>What its weights take, in bytes, whether in the process's own memory or in the mapped file.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Where it computes, e.g. <c>cpu</c>.</summary>
    public required string Device { get; init; }

    /// <summary>The tokens that end a generation: from <c>generation_config.json</c>, else <c>config.json</c>.</summary>
    public required IReadOnlyList<int> EosIds { get; init; }

    /// <summary>What tells its weights from those of other models, a LoRA adapter on them included; adapters hold it.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>All weights of the model, in numbers.</summary>
    public required long ParameterCount { get; init; }

    internal static ModelFacts Of(Core.LoadedModel loaded)
    {
        var config = loaded.Config;
        return new ModelFacts
        {
            Folder = loaded.Folder,
            Family = config.Family,
            HiddenSize = config.Hidden,
            LayerCount = config.Layers,
            HeadCount = config.Heads.Heads,
            KeyValueHeadCount = config.Heads.KvHeads,
            HeadSize = config.Heads.HeadDim,
            IntermediateSize = config.Intermediate,
            VocabularySize = config.Vocabulary,
            ContextLength = config.Context,
            Dtype = loaded.Model.Dtype.ToString().ToLowerInvariant(),
            Weights = loaded.Weights.IsInt8 ? WeightStorage.EightBit : WeightStorage.AsStored,
            WeightBytes = loaded.WeightBytes,
            Device = loaded.Model.Device.ToString(),
            EosIds = [.. loaded.EosIds],
            Fingerprint = loaded.Fingerprint,
            ParameterCount = loaded.Tensors.Values.Sum(tensor => tensor.numel()),
        };
    }
}
