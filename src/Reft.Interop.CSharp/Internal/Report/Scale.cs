namespace Reft.Internal;

/// <summary>A range of numbers on a line of a picture.</summary>
/// <param name="Low">The smallest number.</param>
/// <param name="High">The largest.</param>
/// <param name="IsLogarithmic">Whether orders of magnitude are equally wide.</param>
internal readonly record struct Scale(double Low, double High, bool IsLogarithmic = false)
{
    /// <summary>The range of numbers, widened where it is a point; those that are not finite are passed over.</summary>
    public static Scale Of(IEnumerable<double> numbers, bool fromZero = false)
    {
        var (low, high) = fromZero ? (0.0, double.NegativeInfinity) : (double.PositiveInfinity, double.NegativeInfinity);
        foreach (var number in numbers.Where(double.IsFinite))
        {
            (low, high) = (Math.Min(low, number), Math.Max(high, number));
        }

        return high < low ? new Scale(0, 1)
            : high - low > 1e-12 * Math.Max(Math.Abs(low), Math.Abs(high)) ? new Scale(low, high)
            : new Scale(low - (low == 0 ? 0 : Math.Abs(low) / 2), high + (high == 0 ? 1 : Math.Abs(high) / 2));
    }

    /// <summary>Where a number stands, 0 … 1.</summary>
    public double Part(double number) =>
        IsLogarithmic ? Math.Log(number / Low) / Math.Log(High / Low) : (number / (High - Low)) - (Low / (High - Low));

    /// <summary>A few round numbers within it.</summary>
    public IReadOnlyList<double> Ticks(int about = 5)
    {
        var raw = (High - Low) / about;
        if (!(raw > 0) || !double.IsFinite(raw))
        {
            return [Low];
        }

        var power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        var step = (raw / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 } * power;
        var first = Math.Ceiling(Low / step);
        var (low, high) = (Low, High);
        return step > 0 && double.IsFinite(first)
            ? [.. Enumerable.Range(0, 3 * about).Select(i => (first + i) * step).Where(tick => tick >= low && tick <= high)]
            : [low];
    }
}
