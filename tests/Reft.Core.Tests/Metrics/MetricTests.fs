/// Expected values were computed apart from this library: by Python's statistics and fractions, by numerical integration, or
/// taken from printed tables.
module Reft.Core.Tests.Metrics.MetricTests

open System
open Expecto
open FsCheck
open Reft.Core

let private near (tolerance: float) (found: float) (expected: float) (what: string) =
    Expect.isLessThan (abs (found - expected)) tolerance $"{what}: expected {expected}, found {found}"

let private pairs targets predicted =
    Seq.map2 (fun t p -> struct (t, p)) targets predicted |> Seq.toArray

let private three =
    pairs [ 0; 0; 0; 1; 1; 2; 2; 2; 2; 1 ] [ 0; 1; 0; 1; 1; 2; 0; 2; 1; 2 ]

/// Some rows of a few labels.
let private anyTable (NonEmptyArray(rows: (byte * byte)[])) (labels: PositiveInt) =
    let labels = 2 + labels.Get % 4
    labels, rows |> Array.map (fun (t, p) -> struct (int t % labels, int p % labels))

let private anyNumbers (NonEmptyArray(rows: (int8 * int8)[])) =
    rows |> Array.map (fst >> float), rows |> Array.map (snd >> float)

[<Tests>]
let confusion =
    testList
        "Confusion"
        [ testCase "three labels" (fun () ->
              let table = Confusion.ofPairs 3 three
              Expect.equal table.Counts [| 2; 1; 0; 0; 2; 1; 1; 1; 2 |] "counts"
              near 1e-15 (Confusion.accuracy table) 0.6 "accuracy"
              near 1e-15 (Confusion.f1 0 table) (2.0 / 3.0) "F1 of the first"
              near 1e-15 (Confusion.f1 1 table) (4.0 / 7.0) "F1 of the second"
              near 1e-15 (Confusion.macroF1 table) 0.6031746031746031 "macro F1"
              near 1e-15 (Confusion.precision 0 table) (2.0 / 3.0) "precision"
              near 1e-15 (Confusion.recall 2 table) 0.5 "recall"
              near 1e-14 (Confusion.matthews table) 0.40909090909090906 "Matthews by covariances")
          testCase "two labels" (fun () ->
              // tp 6, tn 3, fp 1, fn 2.
              let table =
                  Confusion.ofPairs
                      2
                      (Array.concat
                          [ Array.replicate 6 (struct (1, 1))
                            Array.replicate 3 (struct (0, 0))
                            Array.replicate 1 (struct (0, 1))
                            Array.replicate 2 (struct (1, 0)) ])

              near 1e-15 (Confusion.f1 1 table) 0.8 "F1"
              near 1e-14 (Confusion.matthews table) 0.47809144373375745 "Matthews")
          testCase "what is not defined is 0" (fun () ->
              let one = Confusion.ofPairs 2 [| struct (0, 0); struct (0, 0) |]
              Expect.equal (Confusion.matthews one) 0.0 "one label alone"
              Expect.equal (Confusion.f1 1 one) 0.0 "a label that does not occur"
              Expect.equal (Confusion.macroF1 one) 1.0 "labels that do not occur do not count"
              Expect.throwsT<ArgumentException> (fun () -> Confusion.ofPairs 2 [| struct (0, 2) |] |> ignore) "a label")
          testCase "many labels need no table of their square" (fun () ->
              // 50 000² counts would not fit an array. Half of the rows are right, the others say the next label.
              let labels = 50_000

              let rows =
                  Array.init labels (fun row -> struct (row, if row % 2 = 0 then row else (row + 1) % labels))

              let table = Confusion.ofPairs labels rows
              Expect.equal (table.Rows, table[4, 4], table[5, 6], table[5, 5]) (labels, 1, 1, 0) "cells"
              near 1e-12 (Confusion.accuracy table) 0.5 "accuracy"
              // An even label: 2 · 1 / (1 + 2); an odd one: 0.
              near 1e-12 (Confusion.macroF1 table) (1.0 / 3.0) "macro F1"
              // c s − Σ p t = s² / 2 − s; s² − Σ p² = s² − 2 s; s² − Σ t² = s² − s.
              let s = float labels

              near 1e-12 (Confusion.matthews table) ((s / 2.0 - 1.0) / (sqrt (s - 2.0) * sqrt (s - 1.0))) "Matthews"

              Expect.throwsT<InvalidOperationException> (fun () -> table.Counts |> ignore) "no dense table"

              let task =
                  SequenceTask.create SequenceProblem.SingleLabel [ for label in 0 .. labels - 1 -> $"{label}" ]

              let found =
                  rows
                  |> Array.map (fun struct (t, p) -> RowTarget.Label t, RowTarget.Label p)
                  |> SequenceMetrics.evaluation task 0.0

              Expect.equal
                  (found.F1, found.Matthews)
                  (Some(Confusion.macroF1 table), Some(Confusion.matthews table))
                  "an evaluation")
          testCase "decisions of several labels" (fun () ->
              let rows =
                  [ struct (set [ 0; 1 ], set [ 0 ])
                    struct (set [], set [ 2 ])
                    struct (set [ 1 ], set [ 1 ]) ]

              near 1e-15 (Confusion.microF1 rows) (4.0 / 6.0) "tp 2, fp 1, fn 1")
          testProperty "F1 does not care which side is the target" (fun rows labels ->
              let labels, rows = anyTable rows labels
              let turned = rows |> Array.map (fun struct (t, p) -> struct (p, t))

              for label in 0 .. labels - 1 do
                  near
                      1e-12
                      (Confusion.f1 label (Confusion.ofPairs labels rows))
                      (Confusion.f1 label (Confusion.ofPairs labels turned))
                      "F1")
          testProperty "micro F1 of one label per row is the accuracy" (fun rows labels ->
              let labels, rows = anyTable rows labels

              near
                  1e-12
                  (rows
                   |> Seq.map (fun struct (t, p) -> struct (set [ t ], set [ p ]))
                   |> Confusion.microF1)
                  (Confusion.accuracy (Confusion.ofPairs labels rows))
                  "micro")
          testProperty "Matthews is in [−1, 1], and 1 where all is right" (fun rows labels ->
              let labels, rows = anyTable rows labels
              let found = Confusion.matthews (Confusion.ofPairs labels rows)
              Expect.isTrue (found >= -1.0 - 1e-12 && found <= 1.0 + 1e-12) $"{found}"

              if (rows |> Array.distinctBy (fun struct (t, _) -> t)).Length > 1 then
                  let right = rows |> Array.map (fun struct (t, _) -> struct (t, t))
                  near 1e-12 (Confusion.matthews (Confusion.ofPairs labels right)) 1.0 "all right")
          testProperty "of two labels Matthews is Pearson's of the indicators" (fun rows ->
              let rows = anyTable rows (PositiveInt 4) |> snd
              Expect.all rows (fun struct (t, p) -> t < 2 && p < 2) "two labels"

              let pearson =
                  Correlation.pearson
                      (rows |> Array.map (fun struct (t, _) -> float t))
                      (rows |> Array.map (fun struct (_, p) -> float p))

              near 1e-9 (Confusion.matthews (Confusion.ofPairs 2 rows)) (Option.defaultValue 0.0 pearson) "the same") ]

[<Tests>]
let correlation =
    testList
        "Correlation"
        [ testCase "by Python's statistics" (fun () ->
              let x, y = [| 1.0; 2.0; 2.0; 3.0; 5.0; 8.0 |], [| 2.0; 1.0; 4.0; 4.0; 4.0; 9.0 |]
              near 1e-14 (Correlation.pearson x y).Value 0.8968829674739368 "Pearson"
              Expect.equal (Correlation.ranks y) [| 2.0; 1.0; 4.0; 4.0; 4.0; 6.0 |] "ties share their ranks"
              near 1e-14 (Correlation.spearman x y).Value 0.8008534347238067 "Spearman"
              Expect.isNone (Correlation.pearson [| 1.0; 1.0 |] [| 1.0; 2.0 |]) "no variance"
              // Their mean is not 0.1.
              Expect.isNone (Correlation.pearson [| 0.1; 0.1; 0.1 |] [| 1.0; 2.0; 4.0 |]) "no variance of x"
              Expect.isNone (Correlation.pearson [| 1.0; 2.0; 4.0 |] [| 0.1; 0.1; 0.1 |]) "no variance of y"
              Expect.isNone (Correlation.spearman [||] [||]) "no rows")
          testProperty "Spearman's is 1 of any rising function" (fun rows ->
              let x, _ = anyNumbers rows

              if (Array.distinct x).Length > 1 then
                  near 1e-12 (Correlation.spearman x (x |> Array.map (fun v -> exp (v / 50.0)))).Value 1.0 "rising"
                  near 1e-12 (Correlation.spearman x (x |> Array.map (fun v -> -v * v * v))).Value -1.0 "falling")
          testProperty "ranks add up to n (n + 1) / 2" (fun rows ->
              let x, _ = anyNumbers rows
              near 1e-9 (Array.sum (Correlation.ranks x)) (float x.Length * float (x.Length + 1) / 2.0) "sum") ]

[<Tests>]
let distributions =
    testList
        "Distributions"
        [ testCase "Student's t, of printed tables" (fun () ->
              for freedom, p, t in
                  [ 1.0, 0.975, 12.7062
                    2.0, 0.975, 4.3027
                    4.0, 0.975, 2.7764
                    5.0, 0.975, 2.5706
                    10.0, 0.975, 2.2281
                    30.0, 0.975, 2.0423
                    3.0, 0.995, 5.8409
                    7.0, 0.95, 1.8946
                    120.0, 0.975, 1.9799 ] do
                  near 5.1e-5 (Distribution.studentQuantile freedom p) t $"t of {freedom}, {p}"
                  near 1e-12 (Distribution.student freedom (Distribution.studentQuantile freedom p)) p "and back")
          testCase "the normal distribution, by Python's statistics and erfc" (fun () ->
              for p, z in
                  [ 0.975, 1.9599639845400536
                    0.9, 1.2815515655446008
                    0.001, -3.090232306167813
                    0.5, 0.0 ] do
                  near 1e-12 (Distribution.normalQuantile p) z $"z of {p}"

              for z, p in
                  [ -3.0, 0.0013498980316300957
                    -1.0, 0.15865525393145707
                    0.5, 0.6914624612740131
                    2.0, 0.9772498680518208
                    4.0, 0.9999683287581669
                    -6.0, 9.865876450377012e-10 ] do
                  near (1e-12 * max p 1e-3) (Distribution.normal z) p $"Φ({z})")
          testCase "the incomplete beta function, by integration" (fun () ->
              near 1e-12 (Distribution.incompleteBeta 2.0 3.0 0.4) 0.5248 "2, 3"
              near 1e-9 (Distribution.incompleteBeta 5.0 1.5 0.9) 0.7761721343162148 "5, 1.5"
              near 1e-12 (Distribution.incompleteBeta 20.0 30.0 0.35) 0.23856016353438783 "20, 30"

              Expect.equal
                  (Distribution.incompleteBeta 2.0 3.0 0.0, Distribution.incompleteBeta 2.0 3.0 1.0)
                  (0.0, 1.0)
                  "ends"

              Expect.throwsT<ArgumentException> (fun () -> Distribution.incompleteBeta 0.0 1.0 0.5 |> ignore) "a = 0")
          testCase "quantiles far out are finite and symmetric" (fun () ->
              for p in [ 1e-12; 1e-4; 0.2 ] do
                  near 1e-3 (Distribution.normalQuantile p) -(Distribution.normalQuantile (1.0 - p)) $"normal {p}"

              Expect.throwsT<ArgumentException> (fun () -> Distribution.normalQuantile 1.0 |> ignore) "p = 1") ]

[<Tests>]
let evaluations =
    let single labels =
        SequenceTask.create SequenceProblem.SingleLabel labels

    let rows =
        three |> Array.map (fun struct (t, p) -> RowTarget.Label t, RowTarget.Label p)

    testList
        "Evaluations"
        [ testCase "of one label, F1 is macro and Matthews is there" (fun () ->
              let task = single [ "a"; "b"; "c" ]
              let found = rows |> SequenceMetrics.evaluation task 0.25
              near 1e-15 found.F1.Value 0.6031746031746031 "F1"
              near 1e-14 found.Matthews.Value 0.40909090909090906 "Matthews"
              Expect.isNone found.Pearson "no correlation"

              Expect.equal
                  (SequenceMetrics.metrics task found |> List.map fst)
                  [ "loss"; "accuracy"; "f1"; "matthews" ]
                  "names")
          testCase "of two labels, F1 is that of the second" (fun () ->
              let found =
                  [| 1, 1; 1, 0; 0, 0; 0, 1; 1, 1 |]
                  |> Array.map (fun (t, p) -> RowTarget.Label t, RowTarget.Label p)
                  |> SequenceMetrics.evaluation (single [ "no"; "yes" ]) 0.0

              near 1e-15 found.F1.Value (4.0 / 6.0) "F1 of yes")
          testCase "of several labels, F1 is micro and there is no Matthews" (fun () ->
              let task = SequenceTask.create SequenceProblem.MultiLabel [ "a"; "b" ]

              let found =
                  [| RowTarget.Labels [ 0; 1 ], RowTarget.Labels [ 1 ]
                     RowTarget.Labels [], RowTarget.Labels [ 0 ] |]
                  |> SequenceMetrics.evaluation task 0.0

              near 1e-15 found.F1.Value 0.5 "F1"
              Expect.isNone found.Matthews "Matthews"
              Expect.equal (SequenceMetrics.names task) [ "loss"; "accuracy"; "f1" ] "names")
          testCase "of numbers, both correlations" (fun () ->
              let found =
                  [| 1.0, 2.0; 2.0, 4.0; 3.0, 5.0 |]
                  |> Array.map (fun (t, p) -> RowTarget.Values [ t ], RowTarget.Values [ p ])
                  |> SequenceMetrics.evaluation SequenceTask.regression 0.0

              near 1e-12 found.Spearman.Value 1.0 "Spearman"
              Expect.isNone found.F1 "F1"

              let flat =
                  [| RowTarget.Values [ 1.0 ], RowTarget.Values [ 2.0 ] |]
                  |> SequenceMetrics.evaluation SequenceTask.regression 0.0
                  |> SequenceMetrics.metrics SequenceTask.regression

              Expect.isTrue
                  (flat |> List.find (fst >> (=) "pearson") |> snd |> Double.IsNaN)
                  "no number where nothing varies") ]
