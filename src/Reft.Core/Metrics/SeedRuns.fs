namespace Reft.Core

open System

/// <summary>A difference of means by Student's t.</summary>
[<Struct>]
type MeanDifference =
    {
        /// The difference with its interval.
        Interval: MetricInterval
        /// The degrees of freedom.
        Freedom: float
        /// How often a difference at least as large, either way, arises where there is none.
        PValue: float
    }

/// <summary>What runs that differ in their seed give: means, deviations, and intervals by Student's t.</summary>
[<RequireQualifiedAccess>]
module SeedRuns =

    let private checkLevel level =
        if not (level > 0.0 && level < 1.0) then
            invalidArg (nameof level) $"expected a level between 0 and 1, found {level}"

    let private several name (values: float[]) =
        match values |> Array.tryFindIndex (Double.IsFinite >> not) with
        | Some run ->
            invalidArg name $"expected finite numbers, found {values[run]} of run {run}: leave out runs that have none"
        | None -> ()

        if values.Length < 2 then
            invalidArg name $"expected two runs or more, found {values.Length}"

    /// <summary>The standard deviation with n − 1.</summary>
    /// <exception cref="T:System.ArgumentException">There are fewer than two numbers, or one is not finite.</exception>
    let deviation (values: float[]) : float =
        several (nameof values) values
        let mean = Array.average values

        sqrt (
            (values |> Array.sumBy (fun x -> (x - mean) * (x - mean)))
            / float (values.Length - 1)
        )

    /// The interval around an estimate, and p. Where nothing varies there is no doubt: an interval of one point.
    let private around level freedom error estimate =
        if error = 0.0 then
            { Interval =
                { Estimate = estimate
                  Low = estimate
                  High = estimate
                  Level = level }
              Freedom = freedom
              PValue = if estimate = 0.0 then 1.0 else 0.0 }
        else
            let reach = error * Distribution.studentQuantile freedom (0.5 * (1.0 + level))

            { Interval =
                { Estimate = estimate
                  Low = estimate - reach
                  High = estimate + reach
                  Level = level }
              Freedom = freedom
              PValue = 2.0 * Distribution.student freedom -(abs (estimate / error)) }

    /// <summary>The mean with its interval: x̄ ± t · s / √n.</summary>
    /// <param name="level">The interval's level.</param>
    /// <param name="values">One number of each run.</param>
    /// <exception cref="T:System.ArgumentException">There are fewer than two runs, a number is not finite, or the level is out of range.</exception>
    let mean (level: float) (values: float[]) : MetricInterval =
        checkLevel level
        several (nameof values) values

        (around level (float (values.Length - 1)) (deviation values / sqrt (float values.Length)) (Array.average values))
            .Interval

    /// <summary>
    /// The difference of the means of independent runs (Welch's t, whose variances may differ, with Satterthwaite's degrees of
    /// freedom).
    /// </summary>
    /// <param name="level">The interval's level.</param>
    /// <param name="first">One number of each run of the first method.</param>
    /// <param name="second">Those of the second.</param>
    /// <exception cref="T:System.ArgumentException">A side has fewer than two runs, a number is not finite, or the level is out of range.</exception>
    let welch (level: float) (first: float[]) (second: float[]) : MeanDifference =
        checkLevel level
        several (nameof first) first
        several (nameof second) second

        let part (values: float[]) =
            let d = deviation values
            d * d / float values.Length

        let a, b = part first, part second

        let freedom =
            if a + b = 0.0 then
                float (first.Length + second.Length - 2)
            else
                (a + b) * (a + b)
                / (a * a / float (first.Length - 1) + b * b / float (second.Length - 1))

        around level freedom (sqrt (a + b)) (Array.average first - Array.average second)

    /// <summary>The difference of the means of runs in pairs, of the same seed, say: Student's t of the differences.</summary>
    /// <param name="level">The interval's level.</param>
    /// <param name="first">One number of each run of the first method.</param>
    /// <param name="second">The number of the second method's run that belongs to it.</param>
    /// <exception cref="T:System.ArgumentException">
    /// The sides are not of one length or have fewer than two runs, a number is not finite, or the level is out of range.
    /// </exception>
    let paired (level: float) (first: float[]) (second: float[]) : MeanDifference =
        checkLevel level

        if first.Length <> second.Length then
            invalidArg (nameof second) $"expected as many runs on both sides, found {first.Length} and {second.Length}"

        several (nameof first) first
        several (nameof second) second
        let differences = Array.map2 (-) first second

        around
            level
            (float (differences.Length - 1))
            (deviation differences / sqrt (float differences.Length))
            (Array.average differences)
