using Reft.Internal;

namespace Reft;

// The paper's LoReFT and DiReFT and their ablations, pyreft's six.
public static partial class Interventions
{
    private const string Linear = "linear";
    private const string Qr = "qr";

    /// <summary>
    /// Low-rank linear subspace ReFT (LoReFT): Δ(h) = Rᵀ(W h + b − R h), where R ∈ ℝ^{r×d} has orthonormal rows (arXiv
    /// 2404.03592, equation 3). It moves h, within the r directions of R, to where W h + b says. Use it first; its
    /// neighbour <see cref="DireftPaper"/> is cheaper and nearly as good.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="activation">Applied to W h + b, by the name that Hugging Face uses: <c>linear</c> (the paper's), <c>relu</c>, <c>silu</c>, …</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <param name="start">Where training starts; at identity W = R and b = 0, with a linear activation only.</param>
    /// <param name="dropout">The dropout rate of the change in training; <see cref="ReftIntervention.DropoutOutput"/> is pyreft's.</param>
    /// <exception cref="ArgumentException">
    /// The rank is not positive, the rate not in [0, 1), the start not possible, or a name unknown: the message lists those
    /// there are.
    /// </exception>
    public static ReftIntervention Loreft(
        int rank,
        string activation = Linear,
        string orthonormal = Qr,
        InterventionStart start = InterventionStart.Pyreft,
        double dropout = 0) =>
        Forms.Method("loreft", ("rank", rank), Activation(activation), Orthonormal(orthonormal), Start(start)).Dropout(dropout);

    /// <summary>
    /// LoReFT without orthonormality (NoReFT): Δ(h) = W₂ᵀ(W₁ h + b − W₂ h) with free W₁, W₂ ∈ ℝ^{r×d} (arXiv 2404.03592,
    /// Table 17; pyreft's <c>NoreftIntervention</c>). Use it to see what orthonormality is worth, or where a step must not
    /// pay for it; <see cref="Loreft"/> keeps R orthonormal, <see cref="DireftPaper"/> also drops the subtraction.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="activation">Applied to W₁ h + b.</param>
    /// <param name="bias">Whether W₂ h has a bias of its own (pyreft's <c>add_bias</c>); not in the paper.</param>
    /// <param name="start">Where training starts; at identity W₁ = W₂, with a linear activation only.</param>
    /// <param name="dropout">The dropout rate of the change in training.</param>
    /// <exception cref="ArgumentException">The rank is not positive, the rate not in [0, 1), the start not possible, or a name unknown.</exception>
    public static ReftIntervention Noreft(
        int rank,
        string activation = Linear,
        bool bias = false,
        InterventionStart start = InterventionStart.Pyreft,
        double dropout = 0) =>
        Forms.Method("noreft", ("rank", rank), Activation(activation), ("bias", bias ? true : null), Start(start)).Dropout(dropout);

    /// <summary>
    /// Constant subspace ReFT (ConsReFT): Δ(h) = Rᵀ(s − R h) with a learnt s ∈ ℝ^r (arXiv 2404.03592, Table 17; pyreft's
    /// <c>ConsreftIntervention</c>): it puts the same point in the place of whatever h is within the directions of R. Use it
    /// to write one fixed thing into a place. It has no identity start: gate it with a scalar gate. <see cref="Lobireft"/>
    /// adds a fixed vector instead of replacing.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <param name="dropout">The dropout rate of the change in training.</param>
    /// <exception cref="ArgumentException">The rank is not positive, the rate not in [0, 1), or a name unknown.</exception>
    public static ReftIntervention Consreft(int rank, string orthonormal = Qr, double dropout = 0) =>
        Forms.Method("consreft", ("rank", rank), Orthonormal(orthonormal)).Dropout(dropout);

    /// <summary>
    /// Low-rank bias ReFT (LobiReFT): Δ = Rᵀ s with a learnt s ∈ ℝ^r (arXiv 2404.03592, Table 17; pyreft's
    /// <c>LobireftIntervention</c>). The change does not depend on h. Use it as the weakest baseline, or where an edit must
    /// be one steering vector; <see cref="DireftOrthonormal"/> makes the added vector depend on h.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <param name="start">Where training starts; at identity s = 0.</param>
    /// <param name="dropout">The dropout rate of the change in training.</param>
    /// <exception cref="ArgumentException">The rank is not positive, the rate not in [0, 1), or a name unknown.</exception>
    public static ReftIntervention Lobireft(
        int rank, string orthonormal = Qr, InterventionStart start = InterventionStart.Pyreft, double dropout = 0) =>
        Forms.Method("lobireft", ("rank", rank), Orthonormal(orthonormal), Start(start)).Dropout(dropout);

    /// <summary>
    /// <b>The paper's DiReFT</b>: Δ(h) = W₂ᵀ(W₁ h + b) with free W₁, W₂ ∈ ℝ^{r×d} (arXiv 2404.03592, equation 4). pyreft
    /// calls this one <c>NodireftIntervention</c>; what pyreft calls <c>DireftIntervention</c> is
    /// <see cref="DireftOrthonormal"/>. It is LoRA applied to hidden states: cheaper than <see cref="Loreft"/>, which keeps
    /// directions orthonormal and replaces what h holds in them.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="activation">Applied to W₁ h + b.</param>
    /// <param name="bias">Whether to carry the bias of W₂ that pyreft has and never uses, for its parameter count.</param>
    /// <param name="start">Where training starts.</param>
    /// <param name="dropout">The dropout rate of the change in training.</param>
    /// <exception cref="ArgumentException">The rank is not positive, the rate not in [0, 1), the start not possible, or a name unknown.</exception>
    public static ReftIntervention DireftPaper(
        int rank,
        string activation = Linear,
        bool bias = false,
        InterventionStart start = InterventionStart.Pyreft,
        double dropout = 0) =>
        Forms.Method("direft_paper", ("rank", rank), Activation(activation), ("bias", bias ? true : null), Start(start))
            .Dropout(dropout);

    /// <summary>
    /// <b>pyreft's DiReFT</b> (<c>DireftIntervention</c>): Δ(h) = Rᵀ(W h + b), where R ∈ ℝ^{r×d} has orthonormal rows: an
    /// ablation in the paper's Table 17. The paper's own DiReFT, without orthonormality, is <see cref="DireftPaper"/>.
    /// It adds where <see cref="Loreft"/> replaces.
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="activation">Applied to W h + b.</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <param name="start">Where training starts.</param>
    /// <param name="dropout">The dropout rate of the change in training.</param>
    /// <exception cref="ArgumentException">The rank is not positive, the rate not in [0, 1), the start not possible, or a name unknown.</exception>
    public static ReftIntervention DireftOrthonormal(
        int rank,
        string activation = Linear,
        string orthonormal = Qr,
        InterventionStart start = InterventionStart.Pyreft,
        double dropout = 0) =>
        Forms.Method("direft_orthonormal", ("rank", rank), Activation(activation), Orthonormal(orthonormal), Start(start))
            .Dropout(dropout);

    /// <summary>
    /// A bottleneck adapter: Δ(h) = U σ(D h + b) + c (Houlsby et al., arXiv 1902.00751), which starts at no change. At the
    /// outputs of attention and MLP of every layer, at all positions and in every phase, it is Houlsby's: see
    /// <see cref="BottleneckAdapters"/>. <see cref="DireftPaper"/> is its like at chosen tokens.
    /// </summary>
    /// <param name="rank">The width of the bottleneck: 1 … width of the site.</param>
    /// <param name="activation">σ.</param>
    /// <exception cref="ArgumentException">The rank is not positive, or the name unknown.</exception>
    public static ReftIntervention Bottleneck(int rank, string activation = "relu") =>
        Forms.Method("bottleneck", ("rank", rank), ("activation", activation == "relu" ? null : activation));

    /// <summary>
    /// Bottleneck adapters on a whole model: behind attention and MLP of every layer (Houlsby et al., arXiv 1902.00751), or
    /// behind the MLP alone (Pfeiffer et al., arXiv 2005.00247), for every token that is read or written.
    /// </summary>
    /// <param name="rank">The width of the bottlenecks.</param>
    /// <param name="activation">What is applied in them.</param>
    /// <param name="mlpOnly">Whether there are none behind attention.</param>
    /// <exception cref="ArgumentException">The rank is not positive, or the name unknown.</exception>
    public static ReftSpec BottleneckAdapters(int rank, string activation = "relu", bool mlpOnly = false)
    {
        var behindMlp = new ReftSpec().At(
            Sites.MlpOutput(Layers.All), Positions.All, Bottleneck(rank, activation), InterventionPhase.Always);
        return mlpOnly
            ? behindMlp
            : behindMlp.At(Sites.AttentionOutput(Layers.All), Positions.All, Bottleneck(rank, activation), InterventionPhase.Always);
    }

    // What is usual is left to the method: its text stays short.
    private static (string Key, object? Value) Activation(string name) => ("activation", name == Linear ? null : name);

    private static (string Key, object? Value) Orthonormal(string name) => ("orthonormal", name == Qr ? null : name);

    private static (string Key, object? Value) Start(InterventionStart start) =>
        ("start", start == InterventionStart.Pyreft ? null : start);
}
