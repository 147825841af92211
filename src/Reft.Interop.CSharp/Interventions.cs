using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>The methods of representation finetuning, and your own.</summary>
public static partial class Interventions
{
    /// <summary>No change.</summary>
    public static ReftIntervention Zero { get; } = new(Core.InterventionModule.zero);

    /// <summary>
    /// A method of the library by its name and options as adapters have them, for settings and command lines:
    /// <c>Named("loreft", new Dictionary&lt;string, string&gt; { ["rank"] = "4" })</c>. Methods that hold vectors or weights
    /// have their own members here.
    /// </summary>
    /// <param name="method">Its name, e.g. <c>loreft</c>.</param>
    /// <param name="options">Its options, e.g. <c>rank</c>; those not given are as usual.</param>
    /// <exception cref="ArgumentException">
    /// There is no such method or option, or a value is out of range: the message lists what there is.
    /// </exception>
    public static ReftIntervention Named(string method, IEnumerable<KeyValuePair<string, string>>? options = null) =>
        Forms.Parse(method, options ?? []);

    /// <summary>
    /// Low-rank linear subspace ReFT (LoReFT): Δ(h) = Rᵀ(W h + b − R h), where R has <paramref name="rank"/> orthonormal
    /// rows (arXiv 2404.03592, equation 3).
    /// </summary>
    /// <param name="rank">The number of directions it edits: 1 … width of the site.</param>
    /// <param name="activation">Applied to W h + b, by the name that Hugging Face uses: <c>linear</c> (the paper's), <c>relu</c>, <c>silu</c>, …</param>
    /// <param name="orthonormal">How R stays orthonormal: <c>qr</c>, or <c>householder</c> as torch does it.</param>
    /// <exception cref="ArgumentException">The rank is not positive, or a name is unknown: the message lists those there are.</exception>
    public static ReftIntervention Loreft(int rank, string activation = "linear", string orthonormal = "qr") =>
        new(Core.Loreft.create(
            new Core.LoreftOptions(rank, Core.ActivationModule.ofName(activation), Core.Orthonormal.ofName(orthonormal))));
}
