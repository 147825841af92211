using Reft.Internal;

namespace Reft;

/// <summary>A setting that a sweep tries values of.</summary>
public sealed class SweepAxis
{
    private SweepAxis(Core.SearchAxis value) => Value = value;

    /// <summary>The setting's name.</summary>
    public string Name => Value.Name;

    internal Core.SearchAxis Value { get; }

    /// <summary>One of these values.</summary>
    /// <exception cref="ArgumentException">There is no value.</exception>
    public static SweepAxis Choices(string name, params IEnumerable<string> values)
    {
        string[] all = [.. values.Distinct()];
        return all.Length > 0
            ? new(new Core.SearchAxis(name, Core.SearchValues.NewChoices(all.ToFSharpList())))
            : throw new ArgumentException($"{name}: expected at least one value, found none", nameof(values));
    }

    /// <summary>A number between two, each part of the range equally likely.</summary>
    /// <param name="name">The setting's name.</param>
    /// <param name="low">The smallest.</param>
    /// <param name="high">The largest.</param>
    /// <param name="points">How many numbers of it are in a grid.</param>
    /// <exception cref="ArgumentException">The range is empty, or there are fewer than two points.</exception>
    public static SweepAxis Range(string name, double low, double high, int? points = null)
    {
        CheckRange(name, low < high && double.IsFinite(high - low), low, high, points);
        return new(new Core.SearchAxis(name, Core.SearchValues.NewUniform(low, high, points.ToOption())));
    }

    /// <summary>A positive number between two, each order of magnitude equally likely, as for a learning rate.</summary>
    /// <param name="name">The setting's name.</param>
    /// <param name="low">The smallest, positive.</param>
    /// <param name="high">The largest.</param>
    /// <param name="points">How many numbers of it are in a grid.</param>
    /// <exception cref="ArgumentException">The range is empty or not positive, or there are fewer than two points.</exception>
    public static SweepAxis LogRange(string name, double low, double high, int? points = null)
    {
        CheckRange(name, low > 0 && low < high && double.IsFinite(high), low, high, points);
        return new(new Core.SearchAxis(name, Core.SearchValues.NewLogUniform(low, high, points.ToOption())));
    }

    /// <summary>
    /// Reads <c>1,2,4</c>, <c>log:1e-4..5e-3</c> or <c>lin:0..0.5</c>; with <c>:4</c> behind a range for its points in a grid.
    /// </summary>
    /// <param name="name">The setting's name.</param>
    /// <param name="text">The values.</param>
    /// <param name="separator">What parts them: <c>;</c> where values have commas, e.g. layers <c>all;4,6,10</c>.</param>
    /// <exception cref="ArgumentException">The text is none of these.</exception>
    public static SweepAxis Parse(string name, string text, char separator = ',') =>
        new(Core.SearchSpace.parse(separator, name, text));

    private static void CheckRange(string name, bool holds, double low, double high, int? points)
    {
        if (!holds || points < 2)
        {
            throw new ArgumentException($"{name}: expected a range LOW < HIGH and 2 points or more, found {low} … {high}, {points} points");
        }
    }
}
