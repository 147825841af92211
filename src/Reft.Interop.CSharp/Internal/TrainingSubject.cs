using Microsoft.FSharp.Collections;

namespace Reft.Internal;

/// <summary>What a run trains.</summary>
/// <param name="Model">The base model.</param>
/// <param name="Spec">What is attached to it; may be empty beside a head.</param>
/// <param name="Tuning">How the model itself is tuned; null where it is not.</param>
/// <param name="Start">The parameters it begins with.</param>
/// <param name="HeadParameters">How many of their trainable numbers are a classification head's.</param>
internal sealed record TrainingSubject(
    Core.LoadedModel Model, FSharpList<Core.Placement> Spec, string? Tuning, Core.Parameters Start, long HeadParameters)
{
    /// <summary>Which model it is, and what it computes in: a run goes on with the same one only.</summary>
    public string ModelText => $"{Model.Fingerprint}, {Model.Model.Dtype}, {Model.Weights}{(Tuning is null ? "" : $", tuned by {Tuning}")}";
}
