using Reft.Internal;

namespace Reft;

// Methods beside the ReFT family, and gates.
public static partial class Interventions
{
    /// <summary>
    /// Representation EDiting (RED): h ↦ s ⊙ h + b, with s = 1 and b = 0 at the start (arXiv 2402.15179, equation 2). 2d
    /// numbers per site and no rank to choose; the paper edits every position of every layer's MLP output. It treats the
    /// coordinates one by one: where directions matter, <see cref="Loreft"/> moves a chosen subspace.
    /// </summary>
    public static ReftIntervention Red() => Forms.Method("red");

    /// <summary>
    /// LoFiT's first step: h ↦ (1 + a) ⊙ h at attention values, a ~ N(0, 10⁻³), for choosing the heads whose scaling grows
    /// most (arXiv 2406.01563, section 3). <see cref="LofitOffset"/> is the second.
    /// </summary>
    public static ReftIntervention LofitScale() => Forms.Method("lofit_scale");

    /// <summary>
    /// LoFiT's second step: h ↦ h + v, v = 0 at the start, at the heads that <see cref="LofitScale"/> chose:
    /// <c>Sites.AttentionValue(7).Heads(3, 1)</c>.
    /// </summary>
    public static ReftIntervention LofitOffset() => Forms.Method("lofit_offset");

    /// <summary>
    /// JoLA: for each head h ↦ (1 + g_m ⊙ m) ⊙ h + g_a ⊙ a, where hard concrete gates g choose, while training, which heads
    /// are edited and how (arXiv 2502.01179, section 4). Its place is the attention value. LoFiT chooses heads in a run of
    /// its own; <see cref="Red"/> edits everything.
    /// </summary>
    /// <param name="heads">The number of attention heads in the rows it edits.</param>
    /// <param name="start">log α of both gates of every head at the start: 0 is half open.</param>
    /// <exception cref="ArgumentException">There are no heads, or the start is not finite.</exception>
    public static ReftIntervention Jola(int heads, double start = 0) => Forms.Method("jola", ("heads", heads), Begun(start));

    /// <summary>
    /// A factor for <see cref="ReftIntervention.Gate"/>: one learnt number. Begun at 0, whatever it gates begins at Δ = 0
    /// (ReZero, arXiv 2003.04887): the way to an identity start for methods that have none.
    /// </summary>
    /// <param name="start">What it begins at.</param>
    /// <exception cref="ArgumentException">The start is not finite.</exception>
    public static ReftIntervention ScalarGate(double start = 0) => Forms.Method("scalar_gate", Begun(start));

    /// <summary>A factor for <see cref="ReftIntervention.Gate"/>: σ(w·h + b), how much of the edit each row gets.</summary>
    public static ReftIntervention SigmoidGate() => Forms.Method("sigmoid_gate");

    /// <summary>
    /// A factor for <see cref="ReftIntervention.Gate"/>: one hard concrete gate (arXiv 1712.01312), sampled in training,
    /// which a penalty closes to exactly 0 where the edit does not pay: for choosing sites.
    /// </summary>
    /// <param name="start">log α at the start: 0 is half open, 2.2 and more fully open outside training.</param>
    /// <exception cref="ArgumentException">The start is not finite.</exception>
    public static ReftIntervention HardConcreteGate(double start = 0) => Forms.Method("hard_concrete_gate", Begun(start));

    // A number that is not finite has no form: the method itself refuses it.
    private static (string Key, object? Value) Begun(double start) => ("start", start == 0 ? null : start);
}
