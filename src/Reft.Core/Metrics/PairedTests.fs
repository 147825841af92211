namespace Reft.Core

open System

/// <summary>What a test of two methods gives.</summary>
[<Struct>]
type TestOutcome =
    {
        /// The first minus the second.
        Difference: float
        /// How often a difference at least as large, either way, arises where there is none.
        PValue: float
    }

/// <summary>Tests of two methods on the same rows. All are two-sided.</summary>
[<RequireQualifiedAccess>]
module PairedTests =

    /// <summary>
    /// McNemar's exact test of two methods that are right or wrong: of the rows on which they differ, the number that the first
    /// gets right is binomial with ½ where neither is better.
    /// </summary>
    /// <param name="rows">Whether each method is right, row by row.</param>
    /// <returns>The difference of the accuracies, and 2 P(X ≤ min(b, c)), at most 1.</returns>
    /// <exception cref="T:System.ArgumentException">There is no row.</exception>
    let mcnemar (rows: struct (bool * bool)[]) : TestOutcome =
        if rows.Length = 0 then
            invalidArg (nameof rows) "expected at least one row, found none"

        let count wanted =
            rows |> Seq.filter ((=) wanted) |> Seq.length

        let first, second = count (struct (true, false)), count (struct (false, true))

        { Difference = float (first - second) / float rows.Length
          PValue = min 1.0 (2.0 * Distribution.fairCoins (first + second) (min first second)) }

    /// Whether a value is as far from 0 as what was observed, up to what rounding makes of sums of numbers whose sizes add up to scale.
    let private reaches (scale: float) (observed: float) (value: float) =
        abs value >= abs observed - 1e-12 * scale

    /// <summary>Below this number of rows that differ, every sign is tried.</summary>
    [<Literal>]
    let ExactRows = 16

    /// <summary>
    /// The permutation test of the mean difference: where neither method is better, each row's difference could as well have the
    /// other sign. Exact up to <see cref="F:Reft.Core.PairedTestsModule.ExactRows"/> rows that differ; else by random signs, with
    /// p = (1 + as large) / (1 + draws).
    /// </summary>
    /// <param name="draws">How many random signs.</param>
    /// <param name="seed">Their seed.</param>
    /// <param name="differences">The first method's number minus the second's, row by row.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, or a difference is no number.</exception>
    let signFlip (draws: int) (seed: int64) (differences: float[]) : TestOutcome =
        if differences.Length = 0 then
            invalidArg (nameof differences) "expected at least one row, found none"

        if differences |> Array.exists (Double.IsFinite >> not) then
            invalidArg (nameof differences) "expected finite numbers"

        if draws < 1 then
            invalidArg (nameof draws) $"expected one draw or more, found {draws}"

        let sum = Array.sum differences
        let reaches = differences |> Array.sumBy abs |> reaches
        let differing = differences |> Array.filter ((<>) 0.0)

        let signed (bits: int -> uint64) =
            let mutable total = 0.0
            let mutable word = 0UL

            for i in 0 .. differing.Length - 1 do
                if i % 64 = 0 then
                    word <- bits (i / 64)

                total <-
                    if (word >>> (i % 64)) &&& 1UL = 1UL then
                        total + differing[i]
                    else
                        total - differing[i]

            total

        let p =
            if differing.Length <= ExactRows then
                let all = 1 <<< differing.Length

                let reaching =
                    seq { 0 .. all - 1 }
                    |> Seq.filter (fun signs -> reaches sum (signed (fun _ -> uint64 signs)))
                    |> Seq.length

                float reaching / float all
            else
                let stream = Rng.ofSeed seed

                let reaching =
                    seq { 0 .. draws - 1 }
                    |> Seq.filter (fun draw ->
                        let own = stream |> Rng.fork draw

                        let word i =
                            let struct (bits, _) = own |> Rng.fork i |> Rng.next
                            bits

                        reaches sum (signed word))
                    |> Seq.length

                float (1 + reaching) / float (1 + draws)

        { Difference = sum / float differences.Length
          PValue = p }

    /// <summary>
    /// The permutation test of any metric of rows (approximate randomisation; Noreen 1989): where neither method is better, what
    /// the two say of a row could as well be exchanged. p = (1 + as large) / (1 + draws), without the draws whose metric is no
    /// number.
    /// </summary>
    /// <param name="draws">How many random exchanges.</param>
    /// <param name="seed">Their seed.</param>
    /// <param name="metric">What is said of each row → the metric.</param>
    /// <param name="first">What the first method says, row by row.</param>
    /// <param name="second">What the second says.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, or not as many on both sides.</exception>
    let randomisation
        (draws: int)
        (seed: int64)
        (metric: 'row[] -> float)
        (first: 'row[])
        (second: 'row[])
        : TestOutcome =
        if first.Length = 0 || first.Length <> second.Length then
            invalidArg (nameof second) $"expected as many rows on both sides, found {first.Length} and {second.Length}"

        if draws < 1 then
            invalidArg (nameof draws) $"expected one draw or more, found {draws}"

        let one, other = metric first, metric second
        let observed = one - other

        if not (Double.IsFinite observed) then
            invalidArg (nameof metric) "the metric of all rows is no finite number"

        let stream = Rng.ofSeed seed

        let reaches = reaches (abs one + abs other) observed

        let differences =
            seq { 0 .. draws - 1 }
            |> Seq.map (fun draw ->
                let mutable rng = stream |> Rng.fork draw
                let one, other = Array.copy first, Array.copy second

                for i in 0 .. one.Length - 1 do
                    let struct (bits, following) = Rng.next rng
                    rng <- following

                    if bits >>> 63 = 1UL then
                        one[i] <- second[i]
                        other[i] <- first[i]

                metric one - metric other)
            |> Seq.filter (Double.IsNaN >> not)
            |> Seq.toArray

        let reaching = differences |> Seq.filter reaches |> Seq.length

        { Difference = observed
          PValue = float (1 + reaching) / float (1 + differences.Length) }

    /// <summary>
    /// The paired bootstrap of the difference of a metric: its interval, and p = (1 + draws whose difference is as far from the
    /// observed one as that is from 0) / (1 + draws).
    /// </summary>
    /// <param name="resampling">How to draw.</param>
    /// <param name="strata">The row numbers of each stratum.</param>
    /// <param name="difference">Row numbers → the first method's metric of those rows minus the second's.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, or an option is out of range.</exception>
    let bootstrap
        (resampling: Resampling)
        (strata: int[][])
        (difference: int[] -> float)
        : struct (MetricInterval * TestOutcome) =
        let interval, draws = Resampling.intervalOf resampling strata difference

        let reaches = draws |> Seq.sumBy abs |> reaches

        let reaching =
            draws
            |> Seq.filter (fun draw -> reaches interval.Estimate (draw - interval.Estimate))
            |> Seq.length

        struct (interval,
                { Difference = interval.Estimate
                  PValue = float (1 + reaching) / float (1 + draws.Length) })

    /// <summary>
    /// Holm's correction of several p values (1979): each multiplied by how many are not smaller, none below a smaller one's, at
    /// most 1. What is then below α keeps the probability of any false finding below α.
    /// </summary>
    /// <param name="values">The p values.</param>
    /// <returns>The corrected ones, in the same order.</returns>
    /// <exception cref="T:System.ArgumentException">A value is not in [0, 1].</exception>
    let holm (values: float[]) : float[] =
        values
        |> Array.iteri (fun i p ->
            if not (p >= 0.0 && p <= 1.0) then
                invalidArg (nameof values) $"expected p values of 0 … 1, found {p} at {i}")

        let order = Array.init values.Length id
        Array.sortInPlaceBy (fun i -> values[i]) order
        let corrected = Array.zeroCreate<float> values.Length

        order
        |> Array.indexed
        |> Array.fold
            (fun largest (rank, i) ->
                let p = max largest (min 1.0 (float (values.Length - rank) * values[i]))
                corrected[i] <- p
                p)
            0.0
        |> ignore

        corrected
