using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>The methods of representation finetuning, and your own.</summary>
public static class Interventions
{
    /// <summary>No change.</summary>
    public static ReftIntervention Zero { get; } = new(Core.InterventionModule.zero);

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

    /// <summary>
    /// Your own intervention. It is saved by its name and parameters, never as code: to load it, give it to
    /// <see cref="ReftModel.LoadAdapter"/>.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="shapes">Its parameters.</param>
    /// <param name="change">
    /// Parameters and rows h [n, width], fp32 → the change Δ [n, width] of the rows, by operations of TorchSharp. It runs
    /// on the thread that trains or generates and must not keep tensors.
    /// </param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public static ReftIntervention FromFunc(
        string name,
        ParameterShapes shapes,
        Func<IReadOnlyDictionary<string, torch.Tensor>, torch.Tensor, torch.Tensor> change)
    {
        var fixedShapes = shapes.Snapshot();
        Func<int, Core.Rng, Core.Parameters> init = fixedShapes.Init;
        Func<Core.Parameters, Core.Context, torch.Tensor, torch.Tensor> bind =
            (theta, _, h) => change(theta.Entries.ToDictionary(p => p.Name, p => p.Value), h);
        return new(Core.InterventionModule.define(name, init.ToFSharpFunc(), bind.ToFSharpFunc()));
    }
}
