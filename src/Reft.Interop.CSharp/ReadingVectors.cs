using TorchSharp;

namespace Reft;

/// <summary>
/// Directions read from activations of two sets of prompts: what
/// <see cref="Interventions.ActivationAddition(ReadOnlyMemory{float}, double, bool)"/> and representation engineering's
/// operators steer along.
/// </summary>
public static class ReadingVectors
{
    /// <summary>
    /// The mean of the positives minus that of the negatives (arXiv 2312.06681; with one each, arXiv 2308.10248).
    /// </summary>
    /// <param name="positives">Activations of one site.</param>
    /// <param name="negatives">Activations of a site of the same width; any number of them.</param>
    /// <returns>[width]</returns>
    /// <exception cref="ArgumentException">There are none, they are of several sites, or of other widths.</exception>
    public static float[] MeanDifference(CollectedActivations positives, CollectedActivations negatives)
    {
        using var scope = torch.NewDisposeScope();
        var (left, right) = Pair(positives, negatives);
        return Numbers(left.mean([0L]) - right.mean([0L]));
    }

    /// <summary>
    /// The first principal component of the differences of pairs, of norm 1, with the sign under which the positives
    /// project higher on average (arXiv 2310.01405, section 3.1.2): the i-th of the positives belongs to the i-th of the
    /// negatives.
    /// </summary>
    /// <param name="positives">Activations of one site.</param>
    /// <param name="negatives">As many activations of a site of the same width.</param>
    /// <returns>[width]</returns>
    /// <exception cref="ArgumentException">
    /// There are none, they are of several sites or of other widths, there is not one for one, or all pairs are alike.
    /// </exception>
    public static float[] PrincipalDirection(CollectedActivations positives, CollectedActivations negatives)
    {
        using var scope = torch.NewDisposeScope();
        var (left, right) = Pair(positives, negatives);
        if (left.shape[0] != right.shape[0])
        {
            throw new ArgumentException(
                $"expected as many negatives as positives, {left.shape[0]}, one for each pair, found {right.shape[0]}", nameof(negatives));
        }

        var differences = left - right;
        if (differences.count_nonzero().item<long>() == 0)
        {
            throw new ArgumentException("expected pairs that differ, found positives equal to the negatives", nameof(negatives));
        }

        var (_, _, components) = torch.linalg.svd(differences, fullMatrices: false);
        var first = components[0];
        var lead = (differences.mean([0L]) * first).sum().item<double>();
        return Numbers(lead < 0 ? -first : first);
    }

    private static (torch.Tensor Positives, torch.Tensor Negatives) Pair(CollectedActivations positives, CollectedActivations negatives)
    {
        var left = positives.Matrix(nameof(positives)).to(torch.float64);
        var right = negatives.Matrix(nameof(negatives)).to(torch.float64);
        return left.shape[1] == right.shape[1]
            ? (left, right)
            : throw new ArgumentException(
                $"expected the width {left.shape[1]} of the positives, found {right.shape[1]}", nameof(negatives));
    }

    private static float[] Numbers(torch.Tensor vector) => vector.to(torch.float32).data<float>().ToArray();
}
