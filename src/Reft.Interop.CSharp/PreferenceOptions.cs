namespace Reft;

/// <summary>How a preference is learnt.</summary>
public enum PreferenceMethod
{
    /// <summary>
    /// Direct preference optimisation (arXiv 2305.18290), against the same model without its interventions: −log σ(r⁺ − r⁻) with
    /// r = β (log π − log π_ref).
    /// </summary>
    Dpo,

    /// <summary>
    /// Identity preference optimisation (arXiv 2310.12036), against the same model without its interventions: (h − 1/(2β))² of
    /// the difference h of log π − log π_ref.
    /// </summary>
    Ipo,

    /// <summary>SimPO (arXiv 2405.14734), without a reference: −log σ(r⁺ − r⁻ − γ) with r = β log π / tokens.</summary>
    SimPo,

    /// <summary>
    /// Reference-free preference steering (arXiv 2505.20809): the interventions times a factor learn to bring the preferred
    /// completion about, and negated or nulled the other one.
    /// </summary>
    Reps,
}

/// <summary>What stands for an intervention where it is to hold back what it was trained to bring about.</summary>
public enum SteeringSuppression
{
    /// <summary>Its change times the negative of the factor.</summary>
    Negated,

    /// <summary>What the hidden state has along its change v is taken out: h − max(h·v, 0) / ‖v‖² · v.</summary>
    NulledOut,
}

/// <summary>How a preference is learnt, and with what constants.</summary>
public sealed record PreferenceOptions
{
    /// <summary>The loss.</summary>
    public PreferenceMethod Method { get; init; } = PreferenceMethod.Dpo;

    /// <summary>
    /// β, the larger, the closer to the reference; 0.1 where it is not given, and 2 for <see cref="PreferenceMethod.SimPo"/>, where
    /// it scales log-probabilities of a token. <see cref="PreferenceMethod.Reps"/> has none.
    /// </summary>
    public double? Beta { get; init; }

    /// <summary>How often labels are taken to be wrong, 0 … 0.5; for <see cref="PreferenceMethod.Dpo"/>.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>γ, by how much the preferred reward is to be the greater; for <see cref="PreferenceMethod.SimPo"/>.</summary>
    public double Margin { get; init; }

    /// <summary>
    /// The factors, one of which is drawn for each pair of a step; 1 where none is given. For <see cref="PreferenceMethod.Reps"/>.
    /// </summary>
    public IReadOnlyList<double> SteeringFactors { get; init; } = [];

    /// <summary>What holds back; for <see cref="PreferenceMethod.Reps"/>.</summary>
    public SteeringSuppression Suppression { get; init; } = SteeringSuppression.Negated;
}

/// <summary>How a reward is learnt.</summary>
public sealed record RewardOptions
{
    /// <summary>c of what pulls rewards towards 0, c (r⁺ + r⁻)²; 0 for none.</summary>
    public double Centering { get; init; }
}

/// <summary>How well pairs are told apart.</summary>
public sealed record PreferenceEvaluation
{
    /// <summary>How many pairs.</summary>
    public required int Pairs { get; init; }

    /// <summary>Pairs that were left out because their completions are equal or have no token, e.g. after they were cut.</summary>
    public required int SkippedPairs { get; init; }

    /// <summary>The mean loss.</summary>
    public required double Loss { get; init; }

    /// <summary>
    /// The share of pairs whose preferred completion has the greater reward; in steering, is the likelier a token as steered.
    /// </summary>
    public required double Accuracy { get; init; }

    /// <summary>The mean difference of the rewards; in steering, of the log-probability of a token.</summary>
    public required double Margin { get; init; }

    /// <summary>In steering: the share of pairs whose other completion is the likelier a token where it is held back.</summary>
    public double? Suppression { get; init; }
}
