namespace Reft;

/// <summary>What runs that differ in their seed give.</summary>
public sealed record SeedStatistics
{
    /// <summary>How many runs.</summary>
    public required int Runs { get; init; }

    /// <summary>The mean.</summary>
    public required double Mean { get; init; }

    /// <summary>The standard deviation (n − 1 in its denominator); null of one run.</summary>
    public double? Deviation { get; init; }

    /// <summary>The interval of the mean by Student's t; null of one run.</summary>
    public ConfidenceInterval? Interval { get; init; }

    /// <summary>The statistics of runs.</summary>
    /// <param name="values">One number of each run.</param>
    /// <param name="level">The level of the interval.</param>
    /// <exception cref="ArgumentException">There is no run, a number is not finite, or the level is not between 0 and 1.</exception>
    public static SeedStatistics Of(IReadOnlyList<double> values, double level = 0.95)
    {
        if (values.Count == 0)
        {
            throw new ArgumentException("expected at least one run, found none", nameof(values));
        }

        double[] numbers = [.. values];
        var run = Array.FindIndex(numbers, number => !double.IsFinite(number));
        if (run >= 0)
        {
            throw new ArgumentException(
                FormattableString.Invariant($"expected finite numbers, found {numbers[run]} of run {run}: leave out runs that have none"), nameof(values));
        }

        return new SeedStatistics
        {
            Runs = numbers.Length,
            Mean = numbers.Average(),
            Deviation = numbers.Length < 2 ? null : Core.SeedRuns.deviation(numbers),
            Interval = numbers.Length < 2 ? null : ConfidenceInterval.Of(Core.SeedRuns.mean(level, numbers)),
        };
    }

    /// <summary>The difference of the means of independent runs (Welch's t test, whose variances may differ).</summary>
    /// <param name="first">One number of each run of the first method.</param>
    /// <param name="second">Those of the second.</param>
    /// <param name="level">The level of the interval.</param>
    /// <exception cref="ArgumentException">A side has fewer than two runs, a number is not finite, or the level is not between 0 and 1.</exception>
    public static PairedTestResult Welch(IReadOnlyList<double> first, IReadOnlyList<double> second, double level = 0.95) =>
        ResultOf(Core.SeedRuns.welch(level, [.. first], [.. second]));

    /// <summary>The difference of the means of runs in pairs, such as those of the same seed: Student's t of the differences.</summary>
    /// <param name="first">One number of each run of the first method.</param>
    /// <param name="second">The number of the second method's run that belongs to it.</param>
    /// <param name="level">The level of the interval.</param>
    /// <exception cref="ArgumentException">
    /// The sides are not of one length or have fewer than two runs, a number is not finite, or the level is not between 0 and 1.
    /// </exception>
    public static PairedTestResult Paired(IReadOnlyList<double> first, IReadOnlyList<double> second, double level = 0.95) =>
        ResultOf(Core.SeedRuns.paired(level, [.. first], [.. second]));

    private static PairedTestResult ResultOf(Core.MeanDifference found) =>
        new(found.Interval.Estimate, found.PValue) { Interval = ConfidenceInterval.Of(found.Interval) };
}
