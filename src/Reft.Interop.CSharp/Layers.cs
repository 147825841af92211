using System.Globalization;

namespace Reft;

/// <summary>Which layers of a model, known before the model is: some by their numbers, or all of them.</summary>
public sealed class Layers
{
    private readonly IReadOnlyList<int>? _numbers;

    private Layers(IReadOnlyList<int>? numbers) => _numbers = numbers;

    /// <summary>Every layer of whatever model the spec is attached to.</summary>
    public static Layers All { get; } = new(null);

    /// <summary>These layers, counted from 0.</summary>
    /// <exception cref="ArgumentException">There is none, one is negative, or one is named twice.</exception>
    public static Layers Of(params int[] layers)
    {
        if (layers.Length == 0)
        {
            throw new ArgumentException("expected at least one layer, found none: Layers.All means all of them", nameof(layers));
        }

        if (layers.FirstOrDefault(layer => layer < 0) is < 0 and var negative)
        {
            throw new ArgumentException($"expected layers ≥ 0, found {negative}", nameof(layers));
        }

        if (layers.Distinct().Count() < layers.Length)
        {
            throw new ArgumentException($"expected distinct layers, found {string.Join(", ", layers)}", nameof(layers));
        }

        return new Layers([.. layers]);
    }

    /// <summary>Layers <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1.</summary>
    /// <exception cref="ArgumentException">The first is negative or the count is not positive.</exception>
    public static Layers Range(int first, int count) =>
        count < 1
            ? throw new ArgumentException($"expected a count ≥ 1, found {count}", nameof(count))
            : Of([.. Enumerable.Range(first, count)]);

    /// <summary>Reads <c>all</c>, <c>4,6,10</c> or, as pyreft users write it, <c>4;6;10</c>.</summary>
    /// <exception cref="ArgumentException">The text is none of these.</exception>
    public static Layers Parse(string text)
    {
        if (text.Trim() == "all")
        {
            return All;
        }

        return Of([.. text.Split(',', ';').Select(Number)]);

        int Number(string word) =>
            int.TryParse(word.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                ? number
                : throw new ArgumentException($"'{text}' names no layers: expected 'all', or numbers such as 4,6,10 or 4;6;10", nameof(text));
    }

    /// <summary><c>all</c>, or the numbers: <c>4,6,10</c>.</summary>
    public override string ToString() => _numbers is null ? "all" : string.Join(',', _numbers);

    internal IEnumerable<int> In(int layerCount) => _numbers ?? Enumerable.Range(0, layerCount);
}
