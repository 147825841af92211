using Reft.Internal;

namespace Reft;

/// <summary>
/// A way of training the model itself rather than its representations, to compare with ReFT or to train beside it: low-rank
/// updates, biases, a prefix, the last layer, all weights. Give it to <see cref="ReftModel.AttachTuning"/>.
/// </summary>
public sealed class Tuning
{
    private Tuning(Core.ModelTuning value) => Value = value;

    /// <summary>The names that <see cref="Named"/> takes.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Core.Tunings.names];

    internal Core.ModelTuning Value { get; }

    /// <summary>
    /// LoRA: (α / r) B A is added to linear maps, with A [r, in] and B [out, r] alone trained, B from 0 (Hu et al., arXiv
    /// 2106.09685).
    /// </summary>
    /// <param name="rank">r.</param>
    /// <param name="alpha">α; 2 r where it is not given.</param>
    /// <param name="modules">The maps, by the last part of their names, e.g. <c>q_proj</c>; every map of the blocks where none is given.</param>
    /// <param name="dropout">The share of A's inputs that is dropped in training.</param>
    /// <param name="rankStabilised">Whether the factor is α / √r (arXiv 2312.03732).</param>
    /// <param name="fp32">Whether updates are computed in fp32 whatever the model's dtype, as peft does; slow in bf16 on a CPU.</param>
    /// <exception cref="ArgumentException">A number is out of range, or a name is none.</exception>
    public static Tuning Lora(
        int rank,
        double? alpha = null,
        IReadOnlyList<string>? modules = null,
        double dropout = 0,
        bool rankStabilised = false,
        bool fp32 = false) =>
        LowRank(false, rank, alpha, modules, dropout, rankStabilised, fp32);

    /// <summary>
    /// DoRA: LoRA with the magnitude of each output trained apart from its direction (Liu et al., arXiv 2402.09353). The norm
    /// is a constant to the derivative, as in their section 4.3.
    /// </summary>
    /// <param name="rank">r.</param>
    /// <param name="alpha">α; 2 r where it is not given.</param>
    /// <param name="modules">The maps, by the last part of their names; every map of the blocks where none is given.</param>
    /// <param name="dropout">The share of A's inputs that is dropped in training.</param>
    /// <param name="rankStabilised">Whether the factor is α / √r.</param>
    /// <param name="fp32">Whether updates are computed in fp32 whatever the model's dtype.</param>
    /// <exception cref="ArgumentException">A number is out of range, or a name is none.</exception>
    public static Tuning Dora(
        int rank,
        double? alpha = null,
        IReadOnlyList<string>? modules = null,
        double dropout = 0,
        bool rankStabilised = false,
        bool fp32 = false) =>
        LowRank(true, rank, alpha, modules, dropout, rankStabilised, fp32);

    /// <summary>
    /// BitFit: the biases of the blocks' linear maps and of the norms alone (Ben Zaken et al., arXiv 2106.10199). A linear map
    /// that has none, as in Llama, gets one that is 0 at the start.
    /// </summary>
    public static Tuning BitFit() => new(Core.BitFit.create);

    /// <summary>
    /// Prefix tuning: every layer's attention sees learnt keys and values of virtual tokens (Li and Liang, arXiv 2101.00190).
    /// The tokens of a row keep their positions.
    /// </summary>
    /// <param name="length">The number of virtual tokens.</param>
    /// <param name="projection">
    /// The inner width of the map that makes keys and values of embeddings in training; they are trained themselves where it
    /// is not given.
    /// </param>
    /// <exception cref="ArgumentException">A number is out of range.</exception>
    public static Tuning Prefix(int length, int? projection = null) =>
        new(Core.PrefixTuning.create(new Core.PrefixMethod(
            length, projection.ToOption(), Core.PrefixTuning.options(length).Deviation)));

    /// <summary>
    /// A probe of the last layer: the map from hidden states to the vocabulary alone, as a copy of its own where it is tied to
    /// the embeddings. A classification head alone is trained without a tuning, with nothing attached.
    /// </summary>
    public static Tuning LastLayer() => new(Core.LastLayer.create);

    /// <summary>Full fine-tuning: every weight, from fp32 copies. It takes a model that is not loaded as 8-bit numbers.</summary>
    public static Tuning Full() => new(Core.FullTuning.create);

    /// <summary>
    /// A tuning by its name and options as adapters have them, for settings and command lines:
    /// <c>Named("lora", new Dictionary&lt;string, string&gt; { ["rank"] = "8" })</c>.
    /// </summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="options">Its options; those not given are as usual.</param>
    /// <exception cref="ArgumentException">There is no such tuning or option, or a value is out of range: the message lists what there is.</exception>
    public static Tuning Named(string name, IEnumerable<KeyValuePair<string, string>>? options = null) =>
        new(Core.Tunings.ofForm(Forms.Form(name, options ?? [])));

    /// <summary>One line, e.g. <c>lora(rank=8, alpha=16)</c>.</summary>
    public override string ToString() => Value.Form.ToString();

    internal static Tuning Of(Core.ModelTuning value) => new(value);

    private static Tuning LowRank(
        bool magnitudes, int rank, double? alpha, IReadOnlyList<string>? modules, double dropout, bool rankStabilised, bool fp32) =>
        new(Core.Lora.create(new Core.LoraMethod(
            rank, alpha ?? (2.0 * rank), (modules ?? []).ToFSharpList(), dropout, rankStabilised, magnitudes, fp32)));
}
