using TorchSharp;

namespace Reft;

/// <summary>
/// An intervention of your own as a class, for <see cref="Interventions.From"/>: h ↦ h + Δ(θ, rows, h). An instance holds
/// options, never tensors that training changes: those are the parameters that it is given.
/// </summary>
/// <example>
/// <code>
/// public sealed class TanhShift : IIntervention
/// {
///     public string Name => "tanh-shift";
///
///     public ParameterShapes Parameters(int width) => new() { { "v", width } };
///
///     public torch.Tensor Change(
///         IReadOnlyDictionary&lt;string, torch.Tensor&gt; parameters, InterventionRows rows, torch.Tensor hidden) =>
///         parameters["v"] * hidden.tanh();
/// }
/// </code>
/// </example>
public interface IIntervention
{
    /// <summary>
    /// Lower-case letters, digits and dashes, unique among your interventions. Options that change the parameters' shapes
    /// or what they mean belong in it, e.g. <c>my-low-rank-4</c>: it is all that an adapter says of the intervention.
    /// </summary>
    string Name { get; }

    /// <summary>
    /// Whether <see cref="Change"/> gives the new rows h′ themselves rather than the change Δ, for edits that must be exact
    /// in every dtype: in bf16, h + (s − h) ≠ s. By default it gives Δ.
    /// </summary>
    bool ReplacesRows => false;

    /// <summary>Its parameters for rows of a width, with their roles and initial values.</summary>
    ParameterShapes Parameters(int width);

    /// <summary>
    /// What does not depend on the rows, such as an orthonormal matrix from a free one: it runs once per training step, and
    /// once for a whole generation. <see cref="Change"/> sees what it gives; by default the parameters themselves.
    /// </summary>
    /// <param name="parameters">The parameters, by name.</param>
    IReadOnlyDictionary<string, torch.Tensor> Prepare(IReadOnlyDictionary<string, torch.Tensor> parameters) => parameters;

    /// <summary>
    /// The change of the rows, by differentiable operations of TorchSharp. It runs on the thread that trains or generates,
    /// several times per step, and must not keep tensors.
    /// </summary>
    /// <param name="parameters">What <see cref="Prepare"/> gave.</param>
    /// <param name="rows">What else is known of the rows.</param>
    /// <param name="hidden">The rows h. [n, width] fp32</param>
    /// <returns>Δ, or h′ where <see cref="ReplacesRows"/> says so. [n, width]</returns>
    torch.Tensor Change(
        IReadOnlyDictionary<string, torch.Tensor> parameters, InterventionRows rows, torch.Tensor hidden);
}
