using Microsoft.Extensions.Logging;

namespace Reft;

/// <summary>The numbers a model computes in.</summary>
public enum ModelDtype
{
    /// <summary>Those of its file; bf16 where that is F16 and the device a CPU, which has no fast fp16.</summary>
    AsFile,

    /// <summary>32-bit floating point.</summary>
    Fp32,

    /// <summary>bfloat16.</summary>
    Bf16,

    /// <summary>16-bit floating point, for GPUs.</summary>
    Fp16,
}

/// <summary>How a model keeps the matrices of its blocks, which are most of its weights.</summary>
public enum WeightStorage
{
    /// <summary>In the numbers it computes in: the mapped file itself where those are the file's.</summary>
    AsStored,

    /// <summary>
    /// As 8-bit whole numbers with one factor per output channel: half the memory of bf16, at a small cost in accuracy.
    /// Embeddings, norms and the head stay as they are, and so do activations. Adapters trained on such a model can be used on
    /// the model as stored, and the other way round: both are the same base model.
    /// </summary>
    EightBit,
}

/// <summary>How a model is loaded.</summary>
public sealed record ModelOptions
{
    /// <summary>The numbers it computes in.</summary>
    public ModelDtype Dtype { get; init; } = ModelDtype.AsFile;

    /// <summary>How it keeps the matrices of its blocks.</summary>
    public WeightStorage Weights { get; init; } = WeightStorage.AsStored;

    /// <summary>Where it computes: <c>cpu</c>, <c>cuda</c>, <c>cuda:1</c>.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>The seed of fresh intervention parameters.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>Where loading, training and generating are logged; null logs nothing.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>
    /// Whether to read the folder's <c>tokenizer.json</c>, if there is one. Without it a model whose kind of tokenizer is
    /// not supported can still be used with rows of token ids.
    /// </summary>
    public bool LoadTokenizer { get; init; } = true;

    /// <summary>
    /// The folder of a LoRA adapter that peft saved (<c>adapter_config.json</c>, <c>adapter_model.safetensors</c>), to put on
    /// the model. It stays as it is in training, and the model with it is another base model to adapters: those that were
    /// trained on it need it again.
    /// </summary>
    public string? LoraAdapter { get; init; }

    /// <summary>
    /// Whether the LoRA adapter is added to the matrices, in fp32 and rounded once, rather than computed beside them in fp32:
    /// no slower than the model itself, and in bf16 a little less exact.
    /// </summary>
    public bool MergeLora { get; init; }
}
