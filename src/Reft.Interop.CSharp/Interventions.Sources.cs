using Reft.Internal;
using TorchSharp;

namespace Reft;

public static partial class Interventions
{
    /// <summary>
    /// Zero ablation: h ↦ 0, exactly in every dtype (pyvene's <c>ZeroIntervention</c>). It asks what a site contributes;
    /// <see cref="Interchange"/> asks the same with a value that the model really takes. For no change at all:
    /// <see cref="Zero"/>.
    /// </summary>
    public static ReftIntervention ZeroOut() => Forms.Method("zero_out");

    /// <summary>
    /// Interchange: h ↦ s, the activation of a source run at the same site, bit for bit (pyvene's
    /// <c>VanillaIntervention</c>; arXiv 2106.02997). Give the run by <see cref="GenerationOptions.Sources"/>. Where a few
    /// directions carry what you look for, use <see cref="RotatedInterchange"/> or <see cref="PcaInterchange"/>.
    /// </summary>
    /// <param name="source">What the run is called.</param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public static ReftIntervention Interchange(string source = CollectedActivations.DefaultName) =>
        Forms.Method("interchange", ("source", source));

    /// <summary>
    /// h ↦ h + s, where s is the activation of a source run (pyvene's <c>AdditionIntervention</c>). For a fixed vector, use
    /// activation addition.
    /// </summary>
    /// <param name="source">What the run is called.</param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public static ReftIntervention AddSource(string source = CollectedActivations.DefaultName) =>
        Forms.Method("add_source", ("source", source));

    /// <summary>h ↦ h − s, where s is the activation of a source run (pyvene's <c>SubtractionIntervention</c>).</summary>
    /// <param name="source">What the run is called.</param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public static ReftIntervention SubtractSource(string source = CollectedActivations.DefaultName) =>
        Forms.Method("subtract_source", ("source", source));

    /// <summary>
    /// h ↦ h + level · ε, ε ~ N(0, 1) (pyvene's <c>NoiseIntervention</c>; the corruption of causal tracing, arXiv
    /// 2202.05262). It acts outside training too, and always with the same numbers. For noise that regularises training,
    /// use <see cref="ReftIntervention.Dropout"/>.
    /// </summary>
    /// <param name="level">The standard deviation; pyvene's default.</param>
    /// <param name="seed">The seed of its numbers.</param>
    /// <exception cref="ArgumentException">The level is negative or not finite.</exception>
    public static ReftIntervention Noise(double level = 0.13462981581687927, int seed = 1) =>
        Forms.Method("noise", ("level", level), ("seed", seed));

    /// <summary>
    /// Distributed alignment search (DAS): h ↦ h + Rᵀ(R s − R h) with learnt orthonormal R ∈ ℝ^{r×d} and the activation s of
    /// a source run (arXiv 2303.02536; pyvene's <c>LowRankRotatedSpaceIntervention</c>). Train it on
    /// <see cref="TrainingData.WithSources"/>. Where the number of directions is to be learnt as well, use
    /// <see cref="BoundlessInterchange"/>.
    /// </summary>
    /// <param name="rank">The number of directions that are swapped: 1 … width of the site.</param>
    /// <param name="source">What the run is called.</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <exception cref="ArgumentException">The rank is not positive, or a name is empty or unknown.</exception>
    public static ReftIntervention RotatedInterchange(
        int rank, string source = CollectedActivations.DefaultName, string orthonormal = "qr") =>
        Forms.Method("rotated_interchange", ("rank", rank), ("source", source), ("orthonormal", orthonormal));

    /// <summary>
    /// Boundless DAS: h ↦ h + Rᵀ(m ⊙ (R s − R h)) with a learnt rotation and a learnt boundary b:
    /// m_i = σ(i / T) · σ((b r − i) / T) (arXiv 2305.08809; pyvene's <c>BoundlessRotatedSpaceIntervention</c>). The number
    /// of directions that are swapped, about b r, is learnt. Where it is known, use <see cref="RotatedInterchange"/>.
    /// </summary>
    /// <param name="rank">The directions among which the boundary lies; the whole width where it is not given.</param>
    /// <param name="temperature">T: how soft the boundary is, in directions.</param>
    /// <param name="source">What the run is called.</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <exception cref="ArgumentException">The rank or the temperature is not positive, or a name is empty or unknown.</exception>
    public static ReftIntervention BoundlessInterchange(
        int? rank = null, double temperature = 50, string source = CollectedActivations.DefaultName, string orthonormal = "qr") =>
        Forms.Method(
            "boundless_interchange", ("rank", rank), ("temperature", temperature), ("source", source), ("orthonormal", orthonormal));

    /// <summary>
    /// Interchange under a learnt mask: h ↦ (1 − m) ⊙ h + m ⊙ s with m = σ(mask / T), neuron by neuron (pyvene's
    /// <c>SigmoidMaskIntervention</c>), or in the coordinates of a learnt rotation
    /// (<c>SigmoidMaskRotatedSpaceIntervention</c>). It learns which coordinates matter, where DAS learns directions.
    /// </summary>
    /// <param name="rotated">Whether the mask acts in a learnt rotation.</param>
    /// <param name="temperature">T: how soft the mask is; 0.01, or 50 in a rotation, as in pyvene.</param>
    /// <param name="source">What the run is called.</param>
    /// <param name="orthonormal">How the rotation stays orthonormal, where there is one.</param>
    /// <exception cref="ArgumentException">The temperature is not positive, or a name is empty or unknown.</exception>
    public static ReftIntervention SigmoidMask(
        bool rotated = false, double? temperature = null, string source = CollectedActivations.DefaultName, string orthonormal = "qr") =>
        Forms.Method(
            "sigmoid_mask",
            ("rotated", rotated),
            ("temperature", temperature),
            ("source", source),
            ("orthonormal", rotated || orthonormal != "qr" ? orthonormal : null));

    /// <summary>
    /// Interchange of the first principal coordinates of a source run (pyvene's <c>PCARotatedSpaceIntervention</c>): with
    /// p(x) = C ((x − μ) / σ), h ↦ σ ⊙ (Cᵀ p′) + μ, where p′ is p(h) with its first coordinates replaced by those of p(s).
    /// With fewer components than the width, what lies outside them becomes the mean. The basis is copied; it is saved and
    /// never trained.
    /// </summary>
    /// <param name="count">How many of the first coordinates are swapped.</param>
    /// <param name="basis">The components, mean and standard deviation.</param>
    /// <param name="source">What the run is called.</param>
    /// <exception cref="ArgumentException">Shapes do not fit together, or a number is not finite: the message says what was expected.</exception>
    public static ReftIntervention PcaInterchange(
        int count, PrincipalComponents basis, string source = CollectedActivations.DefaultName)
    {
        using var scope = torch.NewDisposeScope();
        return new(Core.PcaInterchange.create(
            source, count, new Core.PcaBasis(basis.Components, basis.Mean, basis.Deviation ?? torch.ones_like(basis.Mean))));
    }

    /// <summary>
    /// Interchange of an autoencoder's latents: h ↦ W_decᵀ z′ + b_dec, where z′ is the code of h with chosen latents
    /// replaced by those of a source run (pyvene's <c>AutoencoderIntervention</c>, and
    /// <c>JumpReLUAutoencoderIntervention</c> where the autoencoder has thresholds). The row becomes the reconstruction,
    /// error included. The weights are copied; they are saved and never trained.
    /// </summary>
    /// <param name="autoencoder">The autoencoder.</param>
    /// <param name="latents">Which latents are swapped; all where it is not given.</param>
    /// <param name="source">What the run is called.</param>
    /// <exception cref="ArgumentException">Shapes do not fit together, a number is not finite, or a latent is not the autoencoder's.</exception>
    public static ReftIntervention AutoencoderInterchange(
        Autoencoder autoencoder, IEnumerable<int>? latents = null, string source = CollectedActivations.DefaultName) =>
        new(Core.AutoencoderInterchange.create(
            source,
            latents?.ToFSharpList().ToOption(),
            new Core.AutoencoderWeights(
                autoencoder.Encoder,
                autoencoder.EncoderBias,
                autoencoder.Decoder,
                autoencoder.DecoderBias,
                autoencoder.Threshold.ToOption())));
}
