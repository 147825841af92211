using Reft.Internal;

namespace Reft;

/// <summary>Some sites of a model; made by <see cref="Sites"/>. Each has parameters of its own.</summary>
public sealed class SiteSet
{
    private readonly IReadOnlyList<Part> _parts;

    private SiteSet(IReadOnlyList<Part> parts) => _parts = parts;

    /// <summary>The sites of both. The same as <see cref="Union"/>.</summary>
    public static SiteSet operator +(SiteSet left, SiteSet right) => new([.. left._parts, .. right._parts]);

    /// <summary>The sites of both. The same as <c>+</c>.</summary>
    public static SiteSet Add(SiteSet left, SiteSet right) => left + right;

    /// <summary>The sites of both. The same as <c>+</c>.</summary>
    public SiteSet Union(SiteSet other) => this + other;

    /// <summary>Only heads <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1 of them.</summary>
    /// <exception cref="ArgumentException">A component has no heads, the first is negative or the count is not positive.</exception>
    public SiteSet Heads(int first, int count)
    {
        foreach (var part in _parts)
        {
            Core.SiteModule.heads(first, count, Core.SiteModule.create(0, part.Component));
        }

        return new SiteSet([.. _parts.Select(part => part with { Heads = (first, count) })]);
    }

    /// <summary>E.g. <c>block_output of layers 4,6,10</c>.</summary>
    public override string ToString() => string.Join(" + ", _parts);

    internal static SiteSet Of(Core.Component component, Layers layers) => new([new Part(component, layers, null)]);

    internal static SiteSet Of(Core.Site site) =>
        new([new Part(
            site.Component,
            Layers.Of(site.Layer),
            site.Heads.ToNullable() is { } heads ? (heads.First, heads.Count) : null)]);

    internal IEnumerable<Core.Site> In(int layerCount) =>
        from part in _parts
        from layer in part.Layers.In(layerCount)
        let site = Core.SiteModule.create(layer, part.Component)
        select part.Heads is var (first, count) ? Core.SiteModule.heads(first, count, site) : site;

    private sealed record Part(Core.Component Component, Layers Layers, (int First, int Count)? Heads)
    {
        public override string ToString()
        {
            var heads = Heads is var (first, count) ? $", heads {first}-{first + count - 1}" : "";
            return $"{Core.ComponentModule.name(Component)} of layers {Layers}{heads}";
        }
    }
}
