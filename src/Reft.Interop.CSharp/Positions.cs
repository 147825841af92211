using Microsoft.FSharp.Collections;
using Reft.Internal;

namespace Reft;

/// <summary>What a function of positions sees: one row's tokens so far, without padding.</summary>
/// <param name="TokenIds">
/// Under <see cref="InterventionPhase.Prompt"/> the prompt alone; otherwise all tokens up to the one in question.
/// </param>
/// <param name="PromptLength">How many of them are the prompt.</param>
public sealed record PositionRow(IReadOnlyList<int> TokenIds, int PromptLength);

/// <summary>What pyreft does with the slots that a short prompt leaves over.</summary>
public enum LeftoverSlots
{
    /// <summary>They do nothing: they point at a token that is added for the purpose and that nothing attends to.</summary>
    Sink,

    /// <summary>
    /// They point at the first token after the prompt, which is edited in training, once per slot in the gradient.
    /// </summary>
    NextToken,
}

/// <summary>
/// Which tokens of a row an intervention edits, counted within its phase: usually within the prompt. Unite several with
/// <c>+</c>: <c>Positions.First(7) + Positions.Last(7)</c>.
/// </summary>
public sealed class Positions : IEquatable<Positions>
{
    private const int LargestCount = 1_000_000;

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
    /// The tokens that a function of the row chooses. It is saved by its name, never as code: to load an adapter that has
    /// it, add it to the <see cref="InterventionRegistry"/>. Two functions of one name count as the same.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes.</param>
    /// <param name="choose">
    /// A row → the tokens it chooses, as indices into the row; those outside the phase are left out. Under the phases that
    /// reach beyond the prompt it is asked at each token about the tokens so far, so that decoding step by step agrees
    /// with one pass over the whole row.
    /// </param>
    /// <exception cref="ArgumentException">The name is empty or has other characters.</exception>
    public static Positions FromFunc(string name, Func<PositionRow, IEnumerable<int>> choose)
    {
        Func<Core.RowTokens, FSharpList<int>> chosen = row =>
            choose(new PositionRow(Array.AsReadOnly(row.Ids), row.Prompt)).ToFSharpList();
        return new(Core.Positions.NewFunction(Core.PositionFunctionModule.create(name, chosen.ToFSharpFunc())));
    }

    /// <summary>
    /// The token after an occurrence of a token, in rows that have it: e.g. after the second newline. It is a function of
    /// the row and is saved by its name, as <see cref="FromFunc"/>.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes.</param>
    /// <param name="tokenId">The token.</param>
    /// <param name="occurrence">Which occurrence of it, from 1.</param>
    /// <exception cref="ArgumentException">The name is no such name, or the occurrence is not positive.</exception>
    public static Positions AfterToken(string name, int tokenId, int occurrence = 1) =>
        new(Core.Positions.NewFunction(Core.PositionFunctionModule.afterToken(name, tokenId, occurrence)));

    /// <summary>
    /// Exactly the tokens that pyreft edits, for reproducing its runs: ⌊n/2⌋ at most on either side of a prompt of n
    /// tokens. They act on the prompt alone and cannot be united with others.
    /// </summary>
    /// <param name="first">Prefix slots.</param>
    /// <param name="last">Suffix slots.</param>
    /// <param name="leftover">What becomes of slots that a short prompt leaves over.</param>
    /// <exception cref="ArgumentException">A count is negative or too large, or both are 0.</exception>
    public static Positions Pyreft(int first, int last, LeftoverSlots leftover = LeftoverSlots.Sink) =>
        first is >= 0 and <= LargestCount && last is >= 0 and <= LargestCount && first + last > 0
            ? new(Core.Positions.NewPyreft(new Core.PyreftPositions(
                first, last, leftover == LeftoverSlots.Sink ? Core.PyreftPadding.Sink : Core.PyreftPadding.NextToken)))
            : throw new ArgumentException(
                $"expected first and last of 0 … {LargestCount}, not both 0, found {first} and {last}", nameof(first));

    /// <summary>
    /// Reads what <see cref="ToString"/> prints: <c>f7+l7</c>, <c>f3</c>, <c>l1</c> as pyreft users write them, and
    /// <c>all</c>, <c>every2</c>, <c>span3:5</c> (five tokens from token 3), <c>at0,4,9</c>, joined by <c>+</c>.
    /// </summary>
    /// <exception cref="ArgumentException">The text is none of these.</exception>
    public static Positions Parse(string text) => new(Core.PositionsModule.parse(text));

    /// <summary>Reads what <see cref="ToString"/> prints, functions of the row included: <c>fn:NAME</c>.</summary>
    /// <param name="text">What to read.</param>
    /// <param name="known">The functions that it may name.</param>
    /// <exception cref="ArgumentException">The text is no position, or names a function that is not known.</exception>
    public static Positions Parse(string text, InterventionRegistry known) => new(known.Parse(text));

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

    /// <summary>The short notation that <see cref="Parse(string)"/> reads, e.g. <c>f7+l7</c>.</summary>
    public override string ToString() => Value.ToString();

    internal static Positions Of(Core.Positions value) => new(value);

    /// <summary>The functions of the row among them.</summary>
    internal IEnumerable<Core.PositionFunction> Functions() =>
        Value switch
        {
            Core.Positions.Function function => [function.Item],
            Core.Positions.Union union => union.Item.OfType<Core.Positions.Function>().Select(function => function.Item),
            _ => [],
        };
}
