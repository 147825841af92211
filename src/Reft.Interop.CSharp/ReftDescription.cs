using Reft.Internal;

namespace Reft;

/// <summary>What is attached to a model, and how much of the whole it is.</summary>
public sealed record ReftDescription
{
    /// <summary>The weights of the base model, in numbers.</summary>
    public required long BaseParameters { get; init; }

    /// <summary>The trainable numbers of the interventions, and of how the model itself is tuned.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>The classification head, whose numbers are counted apart; null where there is none.</summary>
    public ClassifierDescription? Classifier { get; init; }

    /// <summary>How the model itself is tuned, e.g. <c>lora(rank=8, alpha=16)</c>; null where it is not.</summary>
    public string? Tuning { get; init; }

    /// <summary>Trainable numbers per hundred weights of the base model.</summary>
    public double TrainablePercent => 100.0 * TrainableParameters / BaseParameters;

    /// <summary>Each placement, in order.</summary>
    public required IReadOnlyList<PlacementDescription> Placements { get; init; }

    /// <summary>A short text for people.</summary>
    public override string ToString() =>
        string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"{TrainableParameters:N0} trainable parameters, {TrainablePercent:0.####} % of the base model's {BaseParameters:N0}")
        + (Tuning is null ? "" : $"\n  the model: {Tuning}")
        + string.Concat(Placements.Select(placement => $"\n  {placement}"))
        + (Classifier is null ? "" : $"\n  {Classifier}");
}

/// <summary>An intervention at one site.</summary>
/// <param name="Site">Where in the model, e.g. <c>layers.7.block_output</c>.</param>
/// <param name="Positions">At which tokens, e.g. <c>f7+l7</c>.</param>
/// <param name="Intervention">What it does, e.g. <c>loreft(rank=4)</c>.</param>
/// <param name="Phase">When it acts.</param>
/// <param name="Tying">Which positions share parameters.</param>
/// <param name="SharedAs">The name under which placements share parameters, if they do.</param>
public sealed record PlacementDescription(
    string Site,
    string Positions,
    string Intervention,
    InterventionPhase Phase,
    ParameterTying Tying,
    string? SharedAs)
{
    internal static PlacementDescription Of(Core.Placement placement) =>
        new(
            placement.Site.ToString(),
            placement.Where.ToString(),
            placement.What.Form.ToString(),
            InterventionPhase.Of(placement.When),
            placement.Tie.ToFacade(),
            placement.Share.ValueOrNull());

    /// <summary>One line.</summary>
    public override string ToString()
    {
        var phase = Phase == InterventionPhase.Prompt ? "" : $", phase {Phase}";
        var shared = SharedAs is null ? "" : $", shared as '{SharedAs}'";
        return $"{Site}: {Intervention} at {Positions}, {Tying}{phase}{shared}";
    }
}
