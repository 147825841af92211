namespace Reft.Core

open System

/// <summary>An estimate with an interval around it.</summary>
[<Struct>]
type MetricInterval =
    {
        /// What the rows give.
        Estimate: float
        /// The lower bound.
        Low: float
        /// The upper bound.
        High: float
        /// How often such an interval contains the true value, e.g. 0.95.
        Level: float
    }

/// <summary>How an interval is read off a bootstrap distribution.</summary>
[<RequireQualifiedAccess>]
type BootstrapForm =
    /// Its quantiles.
    | Percentile
    /// BCa: quantiles moved by the bias and the acceleration (Efron, JASA 1987). It costs a further evaluation for each row.
    | BiasCorrected

/// <summary>How rows are drawn again.</summary>
type Resampling =
    {
        /// How often.
        Resamples: int
        /// The interval's level, between 0 and 1.
        Level: float
        /// How the interval is read off.
        Form: BootstrapForm
        /// The seed of the draws.
        Seed: int64
    }

/// <summary>The bootstrap: intervals of any metric of rows, by drawing the rows again with replacement.</summary>
[<RequireQualifiedAccess>]
module Resampling =

    /// <summary>10,000 draws, 95 %, percentiles, seed 42.</summary>
    let defaults: Resampling =
        { Resamples = 10000
          Level = 0.95
          Form = BootstrapForm.Percentile
          Seed = 42L }

    let internal check (resampling: Resampling) =
        if resampling.Resamples < 1 then
            invalidArg (nameof resampling) $"expected one resample or more, found {resampling.Resamples}"

        if not (resampling.Level > 0.0 && resampling.Level < 1.0) then
            invalidArg (nameof resampling) $"expected a level between 0 and 1, found {resampling.Level}"

    /// <summary>
    /// The quantile of numbers in ascending order, with linear interpolation between neighbours (numpy's default, Hyndman and
    /// Fan's seventh).
    /// </summary>
    let quantile (p: float) (sorted: float[]) : float =
        let place = p * float (sorted.Length - 1)
        let below = int (floor place)
        let above = min (below + 1) (sorted.Length - 1)
        sorted[below] + (place - float below) * (sorted[above] - sorted[below])

    /// <summary>
    /// One draw of as many rows as there are: each stratum gives as many as it has. Draw number <paramref name="draw"/> of a seed
    /// is always the same.
    /// </summary>
    /// <param name="seed">The seed.</param>
    /// <param name="strata">The row numbers of each stratum.</param>
    /// <param name="draw">Which draw.</param>
    let rows (seed: int64) (strata: int[][]) (draw: int) : int[] =
        let mutable rng = Rng.ofSeed seed |> Rng.fork draw
        let drawn = Array.zeroCreate (strata |> Array.sumBy _.Length)
        let mutable place = 0

        for stratum in strata do
            for _ in 1 .. stratum.Length do
                let struct (i, following) = Rng.below stratum.Length rng
                rng <- following
                drawn[place] <- stratum[i]
                place <- place + 1

        drawn

    /// <summary>All rows as one stratum.</summary>
    let together (count: int) : int[][] = [| Array.init count id |]

    /// <summary>The rows by what they have in common, e.g. their label.</summary>
    let by (stratum: int -> 'key) (count: int) : int[][] =
        [| 0 .. count - 1 |] |> Array.groupBy stratum |> Array.map snd

    /// What the draws give, in ascending order; without those of which the metric is no number.
    let internal distribution (resampling: Resampling) (strata: int[][]) (metric: int[] -> float) : float[] =
        let values =
            Array.init resampling.Resamples (rows resampling.Seed strata >> metric)
            |> Array.filter Double.IsFinite

        if values.Length = 0 then
            invalidArg (nameof metric) "the metric is no number in any resample"

        Array.sortInPlace values
        values

    let private biasCorrected level (sorted: float[]) (estimate: float) (jackknife: float[]) =
        let draws = float sorted.Length
        let less = sorted |> Seq.filter (fun value -> value < estimate) |> Seq.length
        let same = sorted |> Seq.filter (fun value -> value = estimate) |> Seq.length
        let below = (float less + 0.5 * float same) / draws

        let bias =
            Distribution.normalQuantile (Math.Clamp(below, 0.5 / draws, 1.0 - 0.5 / draws))

        let mean = Array.average jackknife
        let moved = jackknife |> Array.map (fun value -> mean - value)
        let cubes = moved |> Array.sumBy (fun d -> d * d * d)
        let squares = moved |> Array.sumBy (fun d -> d * d)

        let acceleration =
            if squares = 0.0 then
                0.0
            else
                cubes / (6.0 * (squares ** 1.5))

        let place p =
            let z = bias + Distribution.normalQuantile p
            Distribution.normal (bias + z / (1.0 - acceleration * z))

        let tail = 0.5 * (1.0 - level)
        quantile (place tail) sorted, quantile (place (1.0 - tail)) sorted

    /// The interval, and the draws that it was read off.
    let internal intervalOf
        (resampling: Resampling)
        (strata: int[][])
        (metric: int[] -> float)
        : MetricInterval * float[] =
        check resampling
        let all = strata |> Array.concat |> Array.sort

        if all.Length = 0 then
            invalidArg (nameof strata) "expected at least one row, found none"

        let estimate = metric all

        if not (Double.IsFinite estimate) then
            invalidArg (nameof metric) $"the metric of all rows is no finite number: {estimate}"

        let sorted = distribution resampling strata metric
        let tail = 0.5 * (1.0 - resampling.Level)

        let low, high =
            match resampling.Form with
            | BootstrapForm.BiasCorrected when all.Length > 1 ->
                all
                |> Array.mapi (fun i _ -> Array.removeAt i all |> metric)
                |> Array.filter Double.IsFinite
                |> fun jackknife ->
                    if jackknife.Length = 0 then
                        quantile tail sorted, quantile (1.0 - tail) sorted
                    else
                        biasCorrected resampling.Level sorted estimate jackknife
            | _ -> quantile tail sorted, quantile (1.0 - tail) sorted

        { Estimate = estimate
          Low = low
          High = high
          Level = resampling.Level },
        sorted

    /// <summary>The interval of a metric of rows.</summary>
    /// <param name="resampling">How to draw.</param>
    /// <param name="strata">
    /// The row numbers of each stratum; <see cref="M:Reft.Core.ResamplingModule.together"/> where there is one.
    /// </param>
    /// <param name="metric">
    /// Row numbers → the metric of those rows. Draws of which it is no number (a correlation without variance, say) are left out.
    /// </param>
    /// <exception cref="T:System.ArgumentException">
    /// There is no row, an option is out of range, or the metric of all rows is no number.
    /// </exception>
    let interval (resampling: Resampling) (strata: int[][]) (metric: int[] -> float) : MetricInterval =
        intervalOf resampling strata metric |> fst
