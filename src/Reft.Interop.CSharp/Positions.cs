using Reft.Internal;

namespace Reft;

/// <summary>
/// Which tokens of a row an intervention edits, counted within its phase: usually within the prompt. Unite several with
/// <c>+</c>: <c>Positions.First(7) + Positions.Last(7)</c>.
/// </summary>
public sealed class Positions : IEquatable<Positions>
{
    private Positions(Core.Positions value) => Value = Core.PositionsModule.validate(value);

    /// <summary>Every token.</summary>
    public static Positions All { get; } = new(Core.Positions.All);

    internal Core.Positions Value { get; }

    /// <summary>The first <paramref name="count"/> tokens.</summary>
    /// <exception cref="ArgumentException"><paramref name="count"/> is not positive.</exception>
    public static Positions First(int count) => new(Core.Positions.NewFirst(count));

    /// <summary>The last <paramref name="count"/> tokens of the prompt.</summary>
    /// <exception cref="ArgumentException"><paramref name="count"/> is not positive.</exception>
    public static Positions Last(int count) => new(Core.Positions.NewLast(count));

    /// <summary>Tokens <paramref name="start"/> … <paramref name="start"/> + <paramref name="count"/> − 1.</summary>
    /// <exception cref="ArgumentException">The start is negative or the count is not positive.</exception>
    public static Positions Span(int start, int count) => new(Core.Positions.NewSpan(start, count));

    /// <summary>Tokens 0, <paramref name="step"/>, 2 · <paramref name="step"/>, …</summary>
    /// <exception cref="ArgumentException"><paramref name="step"/> is not positive.</exception>
    public static Positions Every(int step) => new(Core.Positions.NewEvery(step));

    /// <summary>These tokens, counted from 0; those that a row has not are left out.</summary>
    /// <exception cref="ArgumentException">There is no index, or one is negative.</exception>
    public static Positions At(params int[] indices) =>
        new(Core.Positions.NewExplicit(indices.ToFSharpList()));

    /// <summary>
    /// Reads what <see cref="ToString"/> prints: <c>f7+l7</c>, <c>f3</c>, <c>l1</c> as pyreft users write them, and
    /// <c>all</c>, <c>every2</c>, <c>span3:5</c> (five tokens from token 3), <c>at0,4,9</c>, joined by <c>+</c>.
    /// </summary>
    /// <exception cref="ArgumentException">The text is none of these.</exception>
    public static Positions Parse(string text) => new(Core.PositionsModule.parse(text));

    /// <summary>All tokens of both. The same as <see cref="Union"/>.</summary>
    public static Positions operator +(Positions left, Positions right) => new(left.Value + right.Value);

    /// <summary>All tokens of both. The same as <c>+</c>.</summary>
    public static Positions Add(Positions left, Positions right) => left + right;

    /// <summary>All tokens of both. The same as <c>+</c>.</summary>
    public Positions Union(Positions other) => this + other;

    /// <inheritdoc/>
    public bool Equals(Positions? other) => other is not null && Value.Equals(other.Value);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Positions);

    /// <inheritdoc/>
    public override int GetHashCode() => Value.GetHashCode();

    /// <summary>The short notation that <see cref="Parse"/> reads, e.g. <c>f7+l7</c>.</summary>
    public override string ToString() => Value.ToString();

    internal static Positions Of(Core.Positions value) => new(value);
}
