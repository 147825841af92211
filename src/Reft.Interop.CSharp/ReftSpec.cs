using Reft.Internal;

namespace Reft;

/// <summary>Which positions of a placement share parameters.</summary>
public enum ParameterTying
{
    /// <summary>Each part of a union has its own: a prefix set and a suffix set (pyreft's untied). The default.</summary>
    Groups,

    /// <summary>All positions share one set.</summary>
    Tied,

    /// <summary>Each position has its own (the paper's untied), for positions whose number is known.</summary>
    EachPosition,
}

/// <summary>What becomes of <c>First(p) + Last(s)</c> in a prompt of n tokens where they would overlap.</summary>
public enum ShortPromptRule
{
    /// <summary>Only if n &lt; p + s: p ← min(p, ⌊n/2⌋), s ← min(s, ⌈n/2⌉), as in the paper. The default.</summary>
    Paper,

    /// <summary>Always: p ← min(p, ⌊n/2⌋), s ← min(s, ⌊n/2⌋), as pyreft does.</summary>
    Pyreft,
}

/// <summary>
/// Interventions and their places: what is attached to a model, trained and saved. Immutable: each method gives a new
/// spec.
/// </summary>
/// <example>
/// <code>
/// var spec = new ReftSpec()
///     .At(Sites.BlockOutput(4, 6, 10), Positions.First(7) + Positions.Last(7), Interventions.Loreft(rank: 4));
/// </code>
/// </example>
public sealed class ReftSpec
{
    private readonly IReadOnlyList<Entry> _entries;

    /// <summary>A spec without interventions.</summary>
    public ReftSpec()
        : this([])
    {
    }

    private ReftSpec(IReadOnlyList<Entry> entries) => _entries = entries;

    /// <summary>Whether there is no intervention.</summary>
    public bool IsEmpty => _entries.Count == 0;

    /// <summary>The spec with an intervention added at some sites, each with parameters of its own.</summary>
    /// <param name="sites">Where in the model.</param>
    /// <param name="positions">At which tokens.</param>
    /// <param name="intervention">What it does.</param>
    /// <param name="phase">When it acts; positions count within the phase. The prompt where it is not given.</param>
    /// <param name="tying">Which positions share parameters.</param>
    /// <param name="sharedAs">A name under which several placements share one set of parameters, e.g. across layers.</param>
    /// <remarks>
    /// Whether the model has these sites, and whether placements overlap, is checked when the spec meets a model.
    /// </remarks>
    public ReftSpec At(
        SiteSet sites,
        Positions positions,
        ReftIntervention intervention,
        InterventionPhase? phase = null,
        ParameterTying tying = ParameterTying.Groups,
        string? sharedAs = null) =>
        new([.. _entries, new Entry(
            sites, positions, intervention, phase ?? InterventionPhase.Prompt, tying, sharedAs, ShortPromptRule.Paper)]);

    /// <summary>The spec with all positions of each placement sharing one set of parameters.</summary>
    public ReftSpec Tied() => WithTying(ParameterTying.Tied);

    /// <summary>The spec with prefix and suffix of each placement having parameters of their own, as pyreft's untied.</summary>
    public ReftSpec Untied() => WithTying(ParameterTying.Groups);

    /// <summary>The spec with this tying for every placement.</summary>
    public ReftSpec WithTying(ParameterTying tying) => Each(entry => entry with { Tying = tying });

    /// <summary>The spec with every placement acting in this phase.</summary>
    public ReftSpec During(InterventionPhase phase) => Each(entry => entry with { Phase = phase });

    /// <summary>The spec with this rule for prompts that are shorter than the positions ask for.</summary>
    public ReftSpec WithShortPromptRule(ShortPromptRule rule) => Each(entry => entry with { ShortPrompt = rule });

    /// <summary>One line per placement.</summary>
    public override string ToString() => IsEmpty ? "no interventions" : string.Join('\n', _entries);

    internal static ReftSpec Of(IEnumerable<Core.Placement> placements) =>
        new([.. placements.Select(placement => new Entry(
            SiteSet.Of(placement.Site),
            Positions.Of(placement.Where),
            new ReftIntervention(placement.What),
            InterventionPhase.Of(placement.When),
            placement.Tie.ToFacade(),
            placement.Share.ValueOrNull(),
            placement.ShortPrompt.IsPaper ? ShortPromptRule.Paper : ShortPromptRule.Pyreft))]);

    internal Microsoft.FSharp.Collections.FSharpList<Core.Placement> For(Core.ModelConfig config) =>
        _entries
            .SelectMany(entry => entry.Sites.In(config.Layers).Select(entry.Placement))
            .ToFSharpList();

    private ReftSpec Each(Func<Entry, Entry> change) => new([.. _entries.Select(change)]);

    private sealed record Entry(
        SiteSet Sites,
        Positions Positions,
        ReftIntervention Intervention,
        InterventionPhase Phase,
        ParameterTying Tying,
        string? SharedAs,
        ShortPromptRule ShortPrompt)
    {
        public Core.Placement Placement(Core.Site site) =>
            new(
                site,
                Positions.Value,
                Phase.Value,
                Intervention.Value,
                Tying.ToCore(),
                SharedAs.ToOption(),
                ShortPrompt == ShortPromptRule.Paper ? Core.ShortPrompt.Paper : Core.ShortPrompt.Pyreft);

        public override string ToString()
        {
            var phase = Phase == InterventionPhase.Prompt ? "" : $", {Phase} phase";
            var tying = Tying == ParameterTying.Groups ? "" : $", {Tying}";
            var shared = SharedAs is null ? "" : $", shared as '{SharedAs}'";
            return $"{Intervention} at {Sites}, positions {Positions}{phase}{tying}{shared}";
        }
    }
}
