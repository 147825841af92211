using TorchSharp;

namespace Reft;

// Steering along constant vectors; nothing of these is trained.
public static partial class Interventions
{
    /// <summary>
    /// Activation addition: h ↦ h + α v with a constant v, usually the mean difference of activations of two sets of prompts
    /// (arXiv 2308.10248, 2312.06681). Nothing is trained. <see cref="RepeProjection"/> makes the change depend on h;
    /// <see cref="Lobireft"/> learns such a vector.
    /// </summary>
    /// <param name="vector">v, of the width of the site.</param>
    /// <param name="coefficient">α; negative steers away.</param>
    /// <param name="normalized">Whether the vector is scaled to norm 1 first, so that α is the size of the change.</param>
    /// <exception cref="ArgumentException">The vector is empty, zero or not finite, or the coefficient is not finite.</exception>
    public static ReftIntervention ActivationAddition(
        ReadOnlyMemory<float> vector, double coefficient = 1, bool normalized = false) =>
        Along(vector, v => Core.ActivationAddition.create(new Core.ActivationAdditionOptions(coefficient, normalized), v));

    /// <summary>Activation addition of the mean of some activations minus that of others.</summary>
    /// <param name="positives">What is steered to, collected at one site.</param>
    /// <param name="negatives">What is steered away from, collected at the same site.</param>
    /// <param name="coefficient">α; negative steers away.</param>
    /// <param name="normalized">Whether the vector is scaled to norm 1 first, so that α is the size of the change.</param>
    /// <exception cref="ArgumentException">The activations are of several sites or other widths, or their means are equal.</exception>
    public static ReftIntervention ActivationAddition(
        CollectedActivations positives, CollectedActivations negatives, double coefficient = 1, bool normalized = false) =>
        ActivationAddition(ReadingVectors.MeanDifference(positives, negatives), coefficient, normalized);

    /// <summary>
    /// Representation engineering's linear operator: h ↦ h + α v along a reading vector (arXiv 2310.01405, section 3.2): the
    /// same push everywhere.
    /// </summary>
    /// <param name="vector">v, of the width of the site: see <see cref="ReadingVectors.PrincipalDirection"/>.</param>
    /// <param name="coefficient">α.</param>
    /// <exception cref="ArgumentException">The vector is empty, zero or not finite, or the coefficient is not finite.</exception>
    public static ReftIntervention RepeLinear(ReadOnlyMemory<float> vector, double coefficient = 1) =>
        Along(vector, v => Core.RepE.linear(coefficient, v));

    /// <summary>
    /// Representation engineering's piecewise operator: h ↦ h + α sign(hᵀv) v: it strengthens whichever side h is on;
    /// α &lt; 0 weakens it.
    /// </summary>
    /// <param name="vector">v, of the width of the site.</param>
    /// <param name="coefficient">α.</param>
    /// <exception cref="ArgumentException">The vector is empty, zero or not finite, or the coefficient is not finite.</exception>
    public static ReftIntervention RepePiecewise(ReadOnlyMemory<float> vector, double coefficient = 1) =>
        Along(vector, v => Core.RepE.piecewise(coefficient, v));

    /// <summary>
    /// Representation engineering's projection: h ↦ h − α (hᵀv / ‖v‖²) v. With α = 1 nothing is left along v: it erases a
    /// concept where the others steer it.
    /// </summary>
    /// <param name="vector">v, of the width of the site.</param>
    /// <param name="coefficient">α.</param>
    /// <exception cref="ArgumentException">The vector is empty, zero or not finite, or the coefficient is not finite.</exception>
    public static ReftIntervention RepeProjection(ReadOnlyMemory<float> vector, double coefficient = 1) =>
        Along(vector, v => Core.RepE.projection(coefficient, v));

    private static ReftIntervention Along(ReadOnlyMemory<float> vector, Func<torch.Tensor, Core.Intervention> make)
    {
        LibTorch.Load();
        using var scope = torch.NewDisposeScope();
        return new(make(torch.tensor(vector.ToArray())));
    }
}
