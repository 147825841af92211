using Reft.Internal;

namespace Reft;

/// <summary>What a test of two methods gives.</summary>
/// <param name="Difference">The first minus the second.</param>
/// <param name="PValue">How often a difference at least as large, either way, arises where there is none.</param>
public sealed record PairedTestResult(double Difference, double PValue)
{
    /// <summary>The difference with its interval, where the test gives one.</summary>
    public ConfidenceInterval? Interval { get; init; }

    internal static PairedTestResult Of(Core.TestOutcome outcome) => new(outcome.Difference, outcome.PValue);
}

/// <summary>Tests of two methods on the same rows. All are two-sided.</summary>
public static class PairedTest
{
    /// <summary>
    /// McNemar's exact test of two methods that are right or wrong on each row: of the rows on which they differ, the number that
    /// the first gets right is binomial with ½ where neither is better.
    /// </summary>
    /// <param name="first">Whether the first method is right, row by row.</param>
    /// <param name="second">Whether the second is.</param>
    /// <returns>The difference of the accuracies, and its p value.</returns>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static PairedTestResult McNemar(IReadOnlyList<bool> first, IReadOnlyList<bool> second)
    {
        CheckPairs(first, second);
        return PairedTestResult.Of(Core.PairedTests.mcnemar([.. first.Zip(second)]));
    }

    /// <summary>
    /// The permutation test of the mean of numbers per row (of rewards or losses, say): where neither method is better, each
    /// row's difference could as well have the other sign. Exact where at most 16 rows differ; else by random signs.
    /// </summary>
    /// <param name="first">The first method's number of each row.</param>
    /// <param name="second">The second's.</param>
    /// <param name="draws">How many random signs.</param>
    /// <param name="seed">Their seed.</param>
    /// <exception cref="ArgumentException">There is no row, not as many on both sides, or a number is not finite.</exception>
    public static PairedTestResult SignFlip(
        IReadOnlyList<double> first, IReadOnlyList<double> second, int draws = 10_000, long seed = 42)
    {
        CheckPairs(first, second);
        return PairedTestResult.Of(Core.PairedTests.signFlip(draws, seed, [.. first.Zip(second, (a, b) => a - b)]));
    }

    /// <summary>
    /// The permutation test of any metric of rows (approximate randomisation; Noreen 1989): where neither method is better, what
    /// the two say of a row could as well be exchanged.
    /// </summary>
    /// <param name="first">What the first method says, row by row, with whatever the metric needs besides.</param>
    /// <param name="second">What the second says.</param>
    /// <param name="metric">The metric of all rows.</param>
    /// <param name="draws">How many random exchanges.</param>
    /// <param name="seed">Their seed.</param>
    /// <exception cref="ArgumentException">There is no row, not as many on both sides, or the metric is no finite number.</exception>
    public static PairedTestResult Permutation<T>(
        IReadOnlyList<T> first,
        IReadOnlyList<T> second,
        Func<IReadOnlyList<T>, double> metric,
        int draws = 10_000,
        long seed = 42)
    {
        CheckPairs(first, second);
        return PairedTestResult.Of(Core.PairedTests.randomisation(
            draws, seed, FSharpConversions.ToFSharpFunc<T[], double>(rows => metric(rows)), [.. first], [.. second]));
    }

    /// <summary>The paired bootstrap: the interval of the difference of a metric, and its p value.</summary>
    /// <param name="first">What the first method says, row by row, with whatever the metric needs besides.</param>
    /// <param name="second">What the second says.</param>
    /// <param name="metric">The metric of some rows.</param>
    /// <param name="options">How to draw.</param>
    /// <exception cref="ArgumentException">
    /// There is no row, not as many on both sides, an option is out of range, or the metric is no finite number.
    /// </exception>
    public static PairedTestResult Bootstrap<T>(
        IReadOnlyList<T> first,
        IReadOnlyList<T> second,
        Func<IReadOnlyList<T>, double> metric,
        BootstrapOptions? options = null)
    {
        CheckPairs(first, second);
        var (interval, outcome) = Core.PairedTests.bootstrap(
            (options ?? new()).ToCore(),
            Core.ResamplingModule.together(first.Count),
            FSharpConversions.ToFSharpFunc<int[], double>(rows =>
                metric([.. rows.Select(i => first[i])]) - metric([.. rows.Select(i => second[i])])));
        return PairedTestResult.Of(outcome) with { Interval = ConfidenceInterval.Of(interval) };
    }

    /// <summary>
    /// Holm's correction of several p values: what is then below α keeps the probability of any false finding below α.
    /// </summary>
    /// <param name="pValues">The p values.</param>
    /// <returns>The corrected ones, in the same order.</returns>
    /// <exception cref="ArgumentException">A value is not in [0, 1].</exception>
    public static IReadOnlyList<double> Holm(IReadOnlyList<double> pValues) => Core.PairedTests.holm([.. pValues]);

    private static void CheckPairs<T>(IReadOnlyList<T> first, IReadOnlyList<T> second)
    {
        if (first.Count == 0 || first.Count != second.Count)
        {
            throw new ArgumentException(
                $"expected as many rows of both methods and at least one, found {first.Count} and {second.Count}", nameof(second));
        }
    }
}
