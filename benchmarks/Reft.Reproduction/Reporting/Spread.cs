using System.Globalization;

namespace Reft.Reproduction;

/// <summary>The mean of some numbers and, where there are several, their standard deviation (n − 1 in its denominator).</summary>
internal readonly record struct Spread(int Count, double Mean, double? Deviation)
{
    public static Spread Of(IEnumerable<double> numbers)
    {
        double[] found = [.. numbers.Where(double.IsFinite)];
        if (found.Length == 0)
        {
            return new Spread(0, double.NaN, null);
        }

        var mean = found.Average();
        return new Spread(
            found.Length,
            mean,
            found.Length < 2 ? null : Math.Sqrt(found.Sum(x => (x - mean) * (x - mean)) / (found.Length - 1)));
    }

    /// <summary>E.g. <c>91.2 ± 0.4</c>; <see cref="ReportPage.NotRun"/> where there is no number.</summary>
    /// <param name="format">The format of both numbers.</param>
    /// <param name="factor">What they are multiplied by: 100 for percent.</param>
    public string Show(string format, double factor = 1) =>
        Count == 0
            ? ReportPage.NotRun
            : (Mean * factor).ToString(format, CultureInfo.InvariantCulture)
                + (Deviation is { } deviation ? " ± " + (deviation * factor).ToString(format, CultureInfo.InvariantCulture) : "");
}
