using Reft.Internal;

namespace Reft;

/// <summary>
/// Intervals of any metric of rows, by drawing the rows again with replacement. They say how far a metric may be off because the
/// rows are a sample; what training by another seed would give is another question, which <see cref="SeedStatistics"/> answers.
/// </summary>
public static class Bootstrap
{
    /// <summary>The interval of a metric of rows.</summary>
    /// <param name="rows">The rows, e.g. what was right and what was predicted.</param>
    /// <param name="metric">
    /// The metric of some rows. Draws of which it is NaN (a correlation without variance, say) are left out.
    /// </param>
    /// <param name="options">How to draw; 10,000 times and percentiles where it is not given.</param>
    /// <param name="stratum">
    /// What rows of one stratum have in common, e.g. their label: each draw has as many of each as the rows have.
    /// </param>
    /// <exception cref="ArgumentException">
    /// There is no row, an option is out of range, or the metric of all rows is no finite number.
    /// </exception>
    public static ConfidenceInterval Interval<T>(
        IReadOnlyList<T> rows,
        Func<IReadOnlyList<T>, double> metric,
        BootstrapOptions? options = null,
        Func<T, object?>? stratum = null) =>
        ConfidenceInterval.Of(Core.ResamplingModule.interval(
            (options ?? new()).ToCore(),
            Strata(rows, stratum),
            FSharpConversions.ToFSharpFunc<int[], double>(numbers => metric([.. numbers.Select(i => rows[i])]))));

    /// <summary>The interval of the mean of numbers, e.g. of 0 and 1 for an accuracy.</summary>
    /// <exception cref="ArgumentException">There is no number, an option is out of range, or the mean is not finite.</exception>
    public static ConfidenceInterval Mean(IReadOnlyList<double> values, BootstrapOptions? options = null)
    {
        var numbers = values.ToArray();
        return ConfidenceInterval.Of(Core.ResamplingModule.interval(
            (options ?? new()).ToCore(),
            Core.ResamplingModule.together(numbers.Length),
            FSharpConversions.ToFSharpFunc<int[], double>(rows =>
            {
                var sum = 0.0;
                foreach (var row in rows)
                {
                    sum += numbers[row];
                }

                return sum / rows.Length;
            })));
    }

    internal static int[][] Strata<T>(IReadOnlyList<T> rows, Func<T, object?>? stratum) =>
        stratum is null
            ? Core.ResamplingModule.together(rows.Count)
            : [.. Enumerable.Range(0, rows.Count).GroupBy(i => stratum(rows[i])).Select(group => group.ToArray())];
}
