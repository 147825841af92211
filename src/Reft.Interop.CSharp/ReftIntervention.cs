using Reft.Internal;

namespace Reft;

/// <summary>
/// A learnt change of rows of hidden states, h ↦ h + Δ(h); made by <see cref="Interventions"/>. Interventions combine:
/// <c>a + b</c>, <c>0.5 * a</c>, <c>a.Then(b)</c>, <c>a.Gate(g)</c>, <c>a.OnSubspace(0, 1)</c>, <c>a.Dropout(0.1)</c>.
/// Where one acts is decided by <see cref="ReftSpec.At"/>.
/// </summary>
public sealed class ReftIntervention
{
    internal ReftIntervention(Core.Intervention value) => Value = value;

    internal Core.Intervention Value { get; }

    /// <summary>Both read the same h; their changes add up.</summary>
    public static ReftIntervention operator +(ReftIntervention left, ReftIntervention right) =>
        new(Core.InterventionModule.add(left.Value, right.Value));

    /// <summary>The change times a number: −1 negates it, 0 switches it off.</summary>
    public static ReftIntervention operator *(double factor, ReftIntervention intervention) =>
        new(Core.InterventionModule.scale(factor, intervention.Value));

    /// <summary>The change times a number: −1 negates it, 0 switches it off.</summary>
    public static ReftIntervention operator *(ReftIntervention intervention, double factor) => factor * intervention;

    /// <summary>The opposite change.</summary>
    public static ReftIntervention operator -(ReftIntervention intervention) => -1 * intervention;

    /// <summary>Both read the same h; the change of the right one is taken off that of the left one.</summary>
    public static ReftIntervention operator -(ReftIntervention left, ReftIntervention right) => left + (-right);

    /// <summary>The same as <c>+</c>.</summary>
    public static ReftIntervention Add(ReftIntervention left, ReftIntervention right) => left + right;

    /// <summary>The same as <c>*</c>.</summary>
    public static ReftIntervention Multiply(double factor, ReftIntervention intervention) => factor * intervention;

    /// <summary>The same as <c>*</c>.</summary>
    public static ReftIntervention Multiply(ReftIntervention intervention, double factor) => factor * intervention;

    /// <summary>The same as binary <c>-</c>.</summary>
    public static ReftIntervention Subtract(ReftIntervention left, ReftIntervention right) => left - right;

    /// <summary>The same as unary <c>-</c>.</summary>
    public static ReftIntervention Negate(ReftIntervention intervention) => -intervention;

    /// <summary>This one, and then <paramref name="next"/>, which sees h with the change of this one.</summary>
    public ReftIntervention Then(ReftIntervention next) => new(Core.InterventionModule.andThen(next.Value, Value));

    /// <summary>
    /// This change times g(h), where the change that <paramref name="factor"/> gives is read as the factor: [n, 1] or
    /// [n, width].
    /// </summary>
    public ReftIntervention Gate(ReftIntervention factor) => new(Core.InterventionModule.gate(factor.Value, Value));

    /// <summary>Only these latent rows act. The changes of the parts of a partition add up to the whole change.</summary>
    /// <exception cref="ArgumentException">The intervention has no latent rows, or a row is negative or named twice.</exception>
    public ReftIntervention OnSubspace(params int[] rows) =>
        new(Core.InterventionModule.onSubspace(rows.ToFSharpList(), Value));

    /// <summary>
    /// In training, each number of the <i>change</i> is dropped with probability <paramref name="rate"/>, and those kept
    /// grow by 1/(1 − rate). The hidden state itself is never dropped.
    /// </summary>
    /// <exception cref="ArgumentException">The rate is not in [0, 1).</exception>
    public ReftIntervention Dropout(double rate) => new(Core.InterventionModule.dropout(rate, Value));

    /// <summary>
    /// In training, each number of the <i>output</i> h′ = h + Δ is dropped, as pyreft does: the paper's dropout rates were
    /// tuned so. <see cref="Dropout"/> drops the change alone.
    /// </summary>
    /// <exception cref="ArgumentException">The rate is not in [0, 1).</exception>
    public ReftIntervention DropoutOutput(double rate) => new(Core.InterventionModule.dropoutOutput(rate, Value));

    /// <summary>One line, e.g. <c>0.5 * loreft(rank=4)</c>.</summary>
    public override string ToString() => Value.Form.ToString();
}
