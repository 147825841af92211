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
    public static float[] MeanDifference(CollectedActivations positives, CollectedActivations negatives) =>
        Read(positives, negatives, Core.ReadingVector.ofMeans);

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
    public static float[] PrincipalDirection(CollectedActivations positives, CollectedActivations negatives) =>
        Read(positives, negatives, Core.ReadingVector.pca);

    private static float[] Read(
        CollectedActivations positives, CollectedActivations negatives, Func<torch.Tensor, torch.Tensor, torch.Tensor> read)
    {
        using var scope = torch.NewDisposeScope();
        return read(positives.Matrix(nameof(positives)), negatives.Matrix(nameof(negatives))).data<float>().ToArray();
    }
}
