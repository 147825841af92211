using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>
/// What training adds to the loss: <see cref="Weight"/> times a number that the parameters determine. Evaluations leave it
/// out.
/// </summary>
public sealed record TrainingPenalty
{
    private readonly Func<Core.Parameters, torch.Tensor> _value;

    /// <summary>A penalty of your own.</summary>
    /// <param name="weight">Its factor.</param>
    /// <param name="value">
    /// Every parameter of what is attached, by its name in the adapter's file, e.g. <c>layers.4.block_output.weight</c> → a
    /// scalar, by differentiable operations of TorchSharp.
    /// </param>
    /// <exception cref="ArgumentException">The weight is not finite.</exception>
    public TrainingPenalty(double weight, Func<IReadOnlyDictionary<string, torch.Tensor>, torch.Tensor> value)
        : this(weight, theta => value(theta.Entries.ToDictionary(p => p.Name, p => p.Value)))
    {
    }

    private TrainingPenalty(double weight, Func<Core.Parameters, torch.Tensor> value)
    {
        Weight = double.IsFinite(weight)
            ? weight
            : throw new ArgumentException($"expected a finite weight, found {weight}", nameof(weight));
        _value = value;
    }

    /// <summary>Its factor.</summary>
    public double Weight { get; }

    /// <summary>
    /// The sum of the boundaries of <see cref="Interventions.BoundlessInterchange"/>, so that as few directions as needed
    /// are swapped.
    /// </summary>
    /// <param name="weight">Its factor.</param>
    /// <exception cref="ArgumentException">The weight is not finite.</exception>
    public static TrainingPenalty Boundaries(double weight) => new(weight, Core.BoundlessInterchange.penalty);

    /// <summary>
    /// The expected number of <see cref="Interventions.HardConcreteGate"/>s that are not 0: it closes those that do not pay.
    /// </summary>
    /// <exception cref="ArgumentException">The weight is not finite; in training: nothing attached has such a gate.</exception>
    public static TrainingPenalty OpenGates(double weight) => new(weight, Core.Gates.expectedOpen);

    /// <summary>The expected number of <see cref="Interventions.Jola"/>'s gates that are not 0.</summary>
    /// <exception cref="ArgumentException">The weight is not finite; in training: nothing attached has such gates.</exception>
    public static TrainingPenalty OpenHeads(double weight) => new(weight, Core.Jola.expectedOpen);

    internal Func<Core.Batch, Core.Parameters, torch.Tensor> AddTo(Func<Core.Batch, Core.Parameters, torch.Tensor> loss)
    {
        var (penalty, plain) = (_value.ToFSharpFunc(), loss.ToFSharpFunc());
        return (batch, theta) => Core.LossModule.withPenalty(Weight, penalty, plain, batch, theta);
    }
}
