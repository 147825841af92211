using TorchSharp;

namespace Reft;

/// <summary>Principal components, as scikit-learn's <c>PCA</c> and <c>StandardScaler</c> give them.</summary>
/// <param name="Components">C, orthonormal rows. [components, width]</param>
/// <param name="Mean">μ, subtracted first. [width]</param>
/// <param name="Deviation">σ, divided by next; null where nothing was scaled. [width]</param>
public sealed record PrincipalComponents(torch.Tensor Components, torch.Tensor Mean, torch.Tensor? Deviation = null)
{
    /// <summary>The first principal components of collected activations, centred and not scaled.</summary>
    /// <param name="activations">Activations of one site.</param>
    /// <param name="count">How many components: 1 … the smaller of the width and the number of activations.</param>
    /// <exception cref="ArgumentException">There are none, they are of several sites, or there are fewer components.</exception>
    public static PrincipalComponents Fit(CollectedActivations activations, int count)
    {
        using var scope = torch.NewDisposeScope();
        var rows = activations.Matrix(nameof(activations)).to(torch.float64);
        var most = Math.Min(rows.shape[0], rows.shape[1]);
        if (count < 1 || count > most)
        {
            throw new ArgumentException(
                $"expected 1 … {most} components of {rows.shape[0]} activations of width {rows.shape[1]}, found {count}", nameof(count));
        }

        var mean = rows.mean([0L]);
        var (_, _, components) = torch.linalg.svd(rows - mean, fullMatrices: false);
        return new(
            components.narrow(0, 0, count).to(torch.float32).contiguous().MoveToOuterDisposeScope(),
            mean.to(torch.float32).MoveToOuterDisposeScope());
    }
}
