module Reft.Core.Tests.Metrics.ReliabilityTests

open System
open Expecto
open FsCheck
open Reft.Core

let private near (tolerance: float) (found: float) (expected: float) (what: string) =
    Expect.isLessThan (abs (found - expected)) tolerance $"{what}: expected {expected}, found {found}"

let private anyRows (NonEmptyArray(rows: (byte * bool)[])) =
    rows
    |> Array.map (fun (confidence, right) -> struct (float confidence / 255.0, right))

[<Tests>]
let tests =
    testList
        "Calibration"
        [ testCase "by hand" (fun () ->
              let rows =
                  [| struct (0.55, true)
                     struct (0.6, false)
                     struct (0.95, true)
                     struct (0.9, true) |]

              let table = Reliability.table Binning.EqualWidth 10 rows
              Expect.equal (table |> Array.map _.Rows) [| 0; 0; 0; 0; 0; 2; 0; 0; 1; 1 |] "a bin holds its upper bound"
              // (2 |0.5 − 0.575| + |1 − 0.9| + |1 − 0.95|) / 4
              near 1e-12 (Reliability.expectedError table) 0.075 "equal width"
              let mass = Reliability.table Binning.EqualMass 2 rows

              Expect.equal
                  (mass |> Array.map (fun bin -> bin.Rows, bin.Low, bin.High))
                  [| 2, 0.55, 0.6; 2, 0.9, 0.95 |]
                  "equal mass"

              near 1e-12 (Reliability.expectedError mass) (0.5 * 0.075 + 0.5 * 0.075) "equal mass"

              let probabilities, labels =
                  [| [| 0.7; 0.2; 0.1 |]; [| 0.1; 0.8; 0.1 |]; [| 0.3; 0.3; 0.4 |] |], [| 0; 2; 2 |]

              near 1e-12 (Reliability.brier probabilities labels) 0.7133333333333335 "Brier"
              near 1e-12 (Reliability.negativeLogLikelihood probabilities labels) 1.1918502562689777 "−log p")
          testCase "probabilities that mean what they say" (fun () ->
              let random = Random 3

              let rows =
                  Array.init 20000 (fun _ ->
                      let confidence = 0.5 + 0.5 * random.NextDouble()
                      struct (confidence, random.NextDouble() < confidence))

              for binning in [ Binning.EqualWidth; Binning.EqualMass ] do
                  Expect.isLessThan (Reliability.table binning 10 rows |> Reliability.expectedError) 0.02 "calibrated"

                  let boasting =
                      rows |> Array.map (fun struct (c, right) -> struct (min 1.0 (c + 0.2), right))

                  Expect.isGreaterThan (Reliability.table binning 10 boasting |> Reliability.expectedError) 0.1 "not")
          testCase "a temperature that is known" (fun () ->
              // Two labels, 3 apart, right in 3 of 4 rows: σ(3 / T) = 3/4.
              let scores, labels = Array.replicate 4 [| 3.0; 0.0 |], [| 0; 0; 0; 1 |]
              near 1e-9 (Reliability.temperature scores labels) (3.0 / log 3.0) "T"
              let struct (least, most) = Reliability.temperatureRange
              Expect.equal (Reliability.temperature scores [| 0; 0; 0; 0 |]) least "always right: as sure as it may be"

              Expect.equal
                  (Reliability.temperature scores [| 1; 1; 1; 1 |])
                  most
                  "always wrong: as unsure as it may be"

              Expect.equal
                  (Reliability.temperature [| [| 0.1; 0.1; 0.1 |]; [| -3.0; -3.0; -3.0 |] |] [| 0; 2 |])
                  1.0
                  "no label above another: as it is")
          testCase "draws at a temperature are found at it" (fun () ->
              let random = Random 8

              let scores, labels =
                  Array.init 4000 (fun _ ->
                      let row = Array.init 4 (fun _ -> 3.0 * random.NextDouble())
                      let p = Reliability.probabilities 2.0 row
                      let draw = random.NextDouble()
                      let sums = Array.scan (+) 0.0 p
                      row, [ 0..3 ] |> List.tryFind (fun k -> draw < sums[k + 1]) |> Option.defaultValue 3)
                  |> Array.unzip

              near 0.25 (Reliability.temperature scores labels) 2.0 "T")
          testCase "what is refused" (fun () ->
              for refused in
                  [ fun () -> Reliability.table Binning.EqualWidth 10 [||] |> ignore
                    fun () -> Reliability.table Binning.EqualWidth 0 [| struct (0.5, true) |] |> ignore
                    fun () -> Reliability.table Binning.EqualMass 3 [| struct (nan, true) |] |> ignore
                    fun () -> Reliability.brier [| [| 1.0 |] |] [| 1 |] |> ignore
                    fun () -> Reliability.brier [| [| 1.0 |] |] [||] |> ignore
                    fun () -> Reliability.temperature [| [| nan; 1.0 |] |] [| 0 |] |> ignore ] do
                  Expect.throwsT<ArgumentException> refused "refused")
          testProperty "every row is in one bin, and the error is in [0, 1]" (fun rows (bins: PositiveInt) mass ->
              let rows = anyRows rows
              let binning = if mass then Binning.EqualMass else Binning.EqualWidth
              let table = Reliability.table binning bins.Get rows
              Expect.equal (table |> Array.sumBy _.Rows) rows.Length "rows"
              let error = Reliability.expectedError table
              Expect.isTrue (error >= 0.0 && error <= 1.0) $"{error}"

              for bin in table do
                  if bin.Rows > 0 then
                      Expect.isTrue (bin.Confidence >= bin.Low - 1e-9 && bin.Confidence <= bin.High + 1e-9) "inside"

              if mass then
                  let sizes = table |> Array.map _.Rows
                  Expect.isLessThanOrEqual (Array.max sizes - Array.min sizes) 1 "equally many")
          testProperty
              "the fitted temperature is no worse than others"
              (fun (NonEmptyArray(rows: (int8 * int8 * bool)[])) ->
                  let scores =
                      rows |> Array.map (fun (a, b, _) -> [| float a / 16.0; float b / 16.0 |])

                  let labels = rows |> Array.map (fun (_, _, right) -> if right then 0 else 1)

                  // By log-sum-exp, as a probability may round to 0.
                  let loss temperature =
                      Array.map2
                          (fun (row: float[]) label ->
                              let z = row |> Array.map (fun z -> z / temperature)
                              let largest = Array.max z
                              largest + log (z |> Array.sumBy (fun z -> exp (z - largest))) - z[label])
                          scores
                          labels
                      |> Array.average

                  let best = loss (Reliability.temperature scores labels)

                  for other in [ 0.05; 0.3; 1.0; 2.0; 30.0 ] do
                      Expect.isLessThanOrEqual best (loss other + 1e-9) $"at {other}") ]
