module Reft.Core.Tests.Metrics.ResamplingTests

open System
open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Tests

let private near (tolerance: float) (found: float) (expected: float) (what: string) =
    Expect.isLessThan (abs (found - expected)) tolerance $"{what}: expected {expected}, found {found}"

let private quick =
    { Resampling.defaults with
        Resamples = 400 }

let private meanOf (values: float[]) (rows: int[]) =
    rows |> Array.averageBy (fun row -> values[row])

let private biasCorrected (resampling: Resampling) : Resampling =
    { resampling with
        Form = BootstrapForm.BiasCorrected }

/// Standard normal draws (Box–Muller) of a seed.
let private normals (seed: int) count =
    let random = Random seed

    Array.init count (fun _ ->
        sqrt (-2.0 * log (1.0 - random.NextDouble()))
        * cos (2.0 * Math.PI * random.NextDouble()))

[<Tests>]
let bootstrap =
    testList
        "Bootstrap"
        [ testCase "quantiles as numpy's" (fun () ->
              let sorted = [| 1.0; 2.0; 4.0; 8.0 |]
              near 1e-12 (Resampling.quantile 0.5 sorted) 3.0 "median"
              near 1e-12 (Resampling.quantile 0.1 sorted) 1.3 "a tenth"
              near 1e-12 (Resampling.quantile 1.0 sorted) 8.0 "all")
          testCase "of a mean it is the normal interval, about" (fun () ->
              let values = normals 1 400
              let error = SeedRuns.deviation values / 20.0

              for resampling in [ Resampling.defaults; biasCorrected Resampling.defaults ] do
                  let found =
                      meanOf values |> Resampling.interval resampling (Resampling.together 400)

                  near 1e-12 found.Estimate (Array.average values) "the mean"
                  near (0.15 * error) found.Low (found.Estimate - 1.96 * error) "below"
                  near (0.15 * error) found.High (found.Estimate + 1.96 * error) "above")
          testCase "BCa is moved where the percentiles lean" (fun () ->
              // The variance of few draws is too small on average: its interval belongs higher.
              let values = normals 5 30

              let variance (rows: int[]) =
                  let mean = meanOf values rows
                  rows |> Array.averageBy (fun row -> (values[row] - mean) ** 2.0)

              let plain =
                  variance |> Resampling.interval Resampling.defaults (Resampling.together 30)

              let moved =
                  variance
                  |> Resampling.interval (biasCorrected Resampling.defaults) (Resampling.together 30)

              Expect.isGreaterThan moved.Low plain.Low "low"
              Expect.isGreaterThan moved.High plain.High "high")
          testCase "strata keep their sizes" (fun () ->
              let strata = Resampling.by (fun row -> row % 3) 20
              Expect.equal (strata |> Array.map _.Length) [| 7; 7; 6 |] "sizes"

              for draw in 0..20 do
                  let rows = Resampling.rows 3L strata draw

                  Expect.equal
                      (rows |> Array.countBy (fun row -> row % 3) |> Array.sort)
                      [| 0, 7; 1, 7; 2, 6 |]
                      "sizes"

              // A number that a stratum decides has no doubt left.
              let found =
                  (fun rows -> rows |> Array.averageBy (fun row -> float (row % 3)))
                  |> Resampling.interval quick strata

              Expect.equal (found.Low, found.High) (found.Estimate, found.Estimate) "one point")
          testCase "draws depend on the seed alone" (fun () ->
              let rows seed =
                  Array.init 5 (Resampling.rows seed (Resampling.together 10))

              Expect.equal (rows 4L) (rows 4L) "the same"
              Expect.notEqual (rows 4L) (rows 5L) "others")
          testCase "what is no number is left out, and refused of all rows" (fun () ->
              let x, y = [| 1.0; 2.0; 3.0 |], [| 1.0; 3.0; 2.0 |]

              let correlation (rows: int[]) =
                  Correlation.pearson (rows |> Array.map (fun i -> x[i])) (rows |> Array.map (fun i -> y[i]))
                  |> Option.defaultValue nan

              let found = correlation |> Resampling.interval quick (Resampling.together 3)
              Expect.isTrue (found.Low >= -1.0 && found.High <= 1.0) "an interval of numbers"

              for refused in
                  [ fun () -> (fun _ -> nan) |> Resampling.interval quick (Resampling.together 3) |> ignore
                    fun () -> (fun _ -> 1.0) |> Resampling.interval quick (Resampling.together 0) |> ignore
                    fun () ->
                        (fun _ -> 1.0)
                        |> Resampling.interval { quick with Level = 1.0 } (Resampling.together 3)
                        |> ignore
                    fun () ->
                        (fun _ -> 1.0)
                        |> Resampling.interval { quick with Resamples = 0 } (Resampling.together 3)
                        |> ignore ] do
                  Expect.throwsT<ArgumentException> refused "refused")
          testProperty "the interval of a mean contains it" (fun (NonEmptyArray(values: int8[])) ->
              let values = values |> Array.map float

              let found =
                  meanOf values |> Resampling.interval quick (Resampling.together values.Length)
              // The mean of resamples is the mean: a one-sided interval would need a rarer sample than these can be.
              Expect.isLessThanOrEqual found.Low (found.Estimate + 1e-9) "low"
              Expect.isGreaterThanOrEqual found.High (found.Estimate - 1e-9) "high")
          testCase "intervals contain the truth about as often as they say" (fun () ->
              for name, resampling in
                  [ "percentile", { quick with Level = 0.9 }
                    "BCa", biasCorrected { quick with Level = 0.9 } ] do
                  let hits =
                      seq { 0..399 }
                      |> Seq.filter (fun trial ->
                          let values = normals (1000 + trial) 40
                          let found = meanOf values |> Resampling.interval resampling (Resampling.together 40)
                          found.Low <= 0.0 && 0.0 <= found.High)
                      |> Seq.length

                  // 360 of 400 are expected; three standard deviations are 18, and 40 rows cost a few.
                  Expect.isTrue (hits >= 334 && hits <= 380) $"{name}: {hits} of 400") ]

[<Tests>]
let tests =
    let rows both first second neither =
        Array.concat
            [ Array.replicate both (struct (true, true))
              Array.replicate first (struct (true, false))
              Array.replicate second (struct (false, true))
              Array.replicate neither (struct (false, false)) ]

    testList
        "Paired tests"
        [ testCase "McNemar's, by exact fractions" (fun () ->
              for first, second, p in
                  [ 2, 10, 0.03857421875
                    0, 5, 0.0625
                    5, 5, 1.0
                    121, 59, 4.434449263755176e-06
                    700, 650, 0.18231034946700564
                    0, 0, 1.0 ] do
                  let found = PairedTests.mcnemar (rows 30 first second 10)
                  near (1e-10 * p) found.PValue p $"{first} against {second}"
                  near 1e-12 found.Difference (float (first - second) / float (40 + first + second)) "difference")
          testProperty
              "McNemar's does not care which is first, nor for rows where both agree"
              (fun (a: byte) (b: byte) (c: byte) ->
                  let one = PairedTests.mcnemar (rows (1 + int c) (int a) (int b) 0)
                  let other = PairedTests.mcnemar (rows 1 (int b) (int a) (int c))
                  Expect.equal one.PValue other.PValue "p"
                  Expect.isTrue (one.PValue > 0.0 && one.PValue <= 1.0) "a probability")
          testCase "sign flips, by every sign" (fun () ->
              let differences = [| 0.3; -0.1; 0.5; 0.2; 0.0; 0.4; -0.2 |]
              let found = PairedTests.signFlip 1000 1L differences
              near 1e-12 found.PValue 0.21875 "14 of 64"
              near 1e-12 found.Difference (1.1 / 7.0) "the mean"
              let turned = differences |> Array.map (~-) |> PairedTests.signFlip 1000 1L
              Expect.equal turned.PValue found.PValue "the other way"
              Expect.equal (PairedTests.signFlip 10 1L [| 0.0; 0.0 |]).PValue 1.0 "no difference")
          testCase "differences may be small or large" (fun () ->
              for size in [ 1e-15; 1e15 ] do
                  let differences =
                      [| 0.3; -0.1; 0.5; 0.2; 0.0; 0.4; -0.2 |] |> Array.map (fun d -> size * d)

                  near 1e-12 (PairedTests.signFlip 1000 1L differences).PValue 0.21875 $"14 of 64, times {size}"

              let first = Array.init 12 (fun i -> 1e-15 * (1.0 + float i))

              let found =
                  PairedTests.randomisation 2000 3L Array.average first (Array.zeroCreate 12)

              Expect.isLessThan found.PValue 0.01 "exchanges of small numbers")
          testCase "exchanges whose metric is no number are left out" (fun () ->
              let metric (rows: float[]) =
                  if rows[0] = rows[1] then Array.average rows else nan

              let found =
                  PairedTests.randomisation 40000 3L metric (Array.create 8 1.0) (Array.zeroCreate 8)

              // Two rows stay together: 2 of 2⁷ exchanges.
              near 0.003 found.PValue (1.0 / 64.0) "of the draws that count")
          testCase "random signs agree with every sign, and with McNemar's where rows are right or wrong" (fun () ->
              // 20 rows that differ, 15 one way: 2 P(X ≤ 5) of 20.
              let differences =
                  Array.concat [ Array.replicate 15 1.0; Array.replicate 5 -1.0; Array.zeroCreate 30 ]

              let exact = (PairedTests.mcnemar (rows 15 15 5 15)).PValue
              near 0.01 (PairedTests.signFlip 20000 3L differences).PValue exact "by draws"

              let metric (said: float[]) = Array.average said
              let first = differences |> Array.map (fun d -> if d > 0.0 then 1.0 else 0.0)
              let second = differences |> Array.map (fun d -> if d < 0.0 then 1.0 else 0.0)
              let found = PairedTests.randomisation 20000 3L metric first second
              near 0.01 found.PValue exact "by exchanges"
              near 1e-12 found.Difference 0.2 "difference")
          testCase "the bootstrap of a difference" (fun () ->
              let first, second = normals 11 300, normals 12 300
              let better = first |> Array.map (fun x -> x + 0.5)

              let difference (a: float[]) (b: float[]) rows =
                  rows |> Array.averageBy (fun row -> a[row] - b[row])

              let struct (interval, outcome) =
                  PairedTests.bootstrap Resampling.defaults (Resampling.together 300) (difference better second)

              Expect.isTrue (interval.Low > 0.0 && outcome.PValue < 0.001) $"a difference: {interval} {outcome}"

              let struct (interval, outcome) =
                  PairedTests.bootstrap Resampling.defaults (Resampling.together 300) (difference first second)

              Expect.isTrue
                  (interval.Low < 0.0 && interval.High > 0.0 && outcome.PValue > 0.05)
                  $"none: {interval} {outcome}")
          testCase "p values of no difference are rarely small" (fun () ->
              let small =
                  seq { 0..199 }
                  |> Seq.filter (fun trial ->
                      let differences = normals (5000 + trial) 30
                      (PairedTests.signFlip 500 (int64 trial) differences).PValue < 0.1)
                  |> Seq.length

              // 20 are expected; three standard deviations are 13.
              Expect.isTrue (small >= 7 && small <= 33) $"{small} of 200")
          testCase "Holm's correction, by hand" (fun () ->
              Expect.sequenceEqual
                  (PairedTests.holm [| 0.01; 0.04; 0.03; 0.005 |]
                   |> Array.map (fun p -> Math.Round(p, 12)))
                  [| 0.03; 0.06; 0.06; 0.02 |]
                  "four"

              Expect.isEmpty (PairedTests.holm [||]) "none"
              Expect.throwsT<ArgumentException> (fun () -> PairedTests.holm [| nan |] |> ignore) "no number")
          testProperty
              "Holm's keeps the order, and is between p and Bonferroni's"
              (fun (NonEmptyArray(values: byte[])) ->
                  let p = values |> Array.map (fun v -> float v / 255.0)
                  let corrected = PairedTests.holm p

                  for i in 0 .. p.Length - 1 do
                      Expect.isTrue
                          (corrected[i] >= p[i] && corrected[i] <= min 1.0 (float p.Length * p[i]) + 1e-12)
                          "between"

                      for j in 0 .. p.Length - 1 do
                          if p[i] <= p[j] then
                              Expect.isLessThanOrEqual corrected[i] corrected[j] "the order") ]

[<Tests>]
let seeds =
    testList
        "Runs by seed"
        [ testCase "the mean of five runs, by a printed t" (fun () ->
              let found = SeedRuns.mean 0.95 [| 1.0; 2.0; 3.0; 4.0; 5.0 |]
              let reach = 2.7764451 * sqrt 2.5 / sqrt 5.0
              near 1e-6 found.Low (3.0 - reach) "low"
              near 1e-6 found.High (3.0 + reach) "high")
          testCase "Welch's and paired t, by integration" (fun () ->
              let a, b = [| 20.1; 19.8; 21.5; 22.3; 20.7 |], [| 18.2; 19.9; 17.5; 18.8 |]
              let found = SeedRuns.welch 0.95 a b
              near 1e-10 found.Freedom 6.595468035336137 "degrees of freedom"
              near 1e-9 found.PValue 0.013735622424098981 "p"
              near 1e-10 found.Interval.Estimate 2.28 "difference"
              Expect.isTrue (found.Interval.Low > 0.0) "p < 0.05 and the interval agree"

              let found = SeedRuns.paired 0.95 a[..3] b
              near 1e-9 found.PValue 0.08648276047286352 "p of pairs"
              near 1e-10 found.Interval.Estimate 2.325 "difference of pairs"
              Expect.isTrue (found.Interval.Low < 0.0) "p > 0.05 and the interval agree")
          testCase "runs that do not vary, and too few" (fun () ->
              let found = SeedRuns.paired 0.95 [| 2.0; 3.0 |] [| 1.0; 2.0 |]
              Expect.equal (found.Interval.Low, found.Interval.High, found.PValue) (1.0, 1.0, 0.0) "no doubt"
              Expect.throwsT<ArgumentException> (fun () -> SeedRuns.mean 0.95 [| 1.0 |] |> ignore) "one run"

              for refused in
                  [ fun () -> SeedRuns.mean 0.95 [| 1.0; nan |] |> ignore
                    fun () -> SeedRuns.welch 0.95 [| 1.0; nan; 3.0 |] [| 1.0; 2.0 |] |> ignore
                    fun () -> SeedRuns.welch 0.95 [| 1.0; 2.0 |] [| 1.0; nan |] |> ignore
                    fun () -> SeedRuns.paired 0.95 [| 1.0; 2.0 |] [| 1.0; nan |] |> ignore ] do
                  Golden.throwsWith<ArgumentException> [ "finite"; "NaN"; "run 1" ] refused

              Expect.throwsT<ArgumentException>
                  (fun () -> SeedRuns.paired 0.95 [| 1.0; 2.0 |] [| 1.0 |] |> ignore)
                  "no pairs")
          testCase "intervals of the mean of three runs contain the truth as often as they say" (fun () ->
              let hits =
                  seq { 0..1999 }
                  |> Seq.filter (fun trial ->
                      let found = SeedRuns.mean 0.9 (normals (9000 + trial) 3)
                      found.Low <= 0.0 && 0.0 <= found.High)
                  |> Seq.length

              // 1800 are expected; four standard deviations are 54.
              Expect.isTrue (abs (hits - 1800) <= 54) $"{hits} of 2000") ]
