module Reft.Core.Tests.Training.RepsTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Training.PairFixture

let private options =
    [ "negated", RepsSuppression.Negated; "nulled", RepsSuppression.NulledOut ]
    |> List.map (fun (name, suppression) ->
        name,
        { Factors = [ 0.5; 1.5 ]
          Suppression = suppression })

/// The suppressing edit written out, as an intervention of its own with LoReFT's parameters.
let private written (suppression: RepsSuppression) (factor: float) : ReftSpec =
    let change = (loreft 2).Bind

    let edit (theta: Parameters) (context: Context) (h: Tensor) =
        let v =
            match change theta with
            | Edit.Delta f -> f context h
            | Edit.Replace f -> f context h - h

        match suppression with
        | RepsSuppression.Negated -> v * float32 -factor
        | RepsSuppression.NulledOut ->
            let rows =
                [ for row in 0L .. h.shape[0] - 1L ->
                      let v, h = v[row], h[row]
                      let along = max 0.0 (number (h.dot v)) / number (v.dot v)
                      v * float32 -along ]

            torch.stack (ResizeArray rows)

    Intervention.define "written" (loreft 2).Init edit
    |> at (blockOutput [ 0; 2 ]) (first 1 + last 2)

[<Tests>]
let tests =
    testList
        "RePS"
        [ for name, options in options do
              test $"{name}: the loss is the paper's" {
                  scoped (fun () ->
                      use _ = torch.no_grad ()
                      let model = model ()
                      let theta = parameters ()
                      let mean = List.average options.Factors
                      let steering = 1.0 * mean * loreft 2 |> at (blockOutput [ 0; 2 ]) (first 1 + last 2)
                      let suppressing = written options.Suppression mean

                      let expected =
                          pairs ()
                          |> List.averageBy (fun pair ->
                              let chosen, rejected = { pair with Rejected = None }, pair.Rejected.Value
                              let total spec row = number (logProb spec theta model row)
                              let each spec (row: Example) = total spec row / float row.ScoredCount
                              let difference = total [] chosen - total [] rejected

                              let toward =
                                  max -difference 1.0 * each steering chosen - each steering rejected

                              let away =
                                  max difference 1.0 * each suppressing rejected - each suppressing chosen

                              -(log (sigmoid toward)) - log (sigmoid away))

                      for side in [ PaddingSide.Right; PaddingSide.Left ] do
                          let tuned = Tuned.reft spec model
                          expectClose "loss" expected (number (Reps.loss options tuned (batch side) theta))
                          expectClose "measured" expected (Reps.metrics options tuned [ batch side ] theta |> metric "loss"))
              }

              test $"{name}: the gradient is the difference's, and that of smooth formulas" {
                  scoped (fun () ->
                      let tuned = Tuned.reft spec (model ())
                      let theta = parameters ()

                      let noisy =
                          { batch PaddingSide.Right with
                              Random = Some(Rng.ofSeed 5L) }

                      differences (Reps.loss options tuned) theta noisy
                      smoothAgrees (Reps.loss options) tuned theta noisy)
              }

              test $"{name}: one intervention learns to steer toward and away" {
                  scoped (fun () ->
                      let tuned = Tuned.reft spec (model ())
                      let start = Reft.init spec config (Rng.ofSeed 4L)

                      let measure theta =
                          Reps.metrics options tuned [ batch PaddingSide.Right ] theta

                      let before = measure start
                      let after = train 60 (Reps.loss options tuned) start (pairs ()) |> measure
                      Expect.isLessThan (metric "loss" after) (0.7 * metric "loss" before) "loss"
                      Expect.isGreaterThan (metric "margin" after) (metric "margin" before) "margin"
                      Expect.equal (metric "accuracy" after) 1.0 "toward"
                      Expect.isGreaterThanOrEqual (metric "suppression" after) 0.75 "away")
              }
          test "nulling takes the whole of a vector's direction out of rows that point along it" {
              scoped (fun () ->
                  let h = Rng.normal [ 5L; 16L ] (Rng.ofSeed 1L)
                  let v = Rng.normal [ 16L ] (Rng.ofSeed 2L)

                  let vector =
                      ActivationAddition.create ActivationAddition.options v
                      |> at (blockOutput [ 0 ]) all

                  let edit = (Reps.nulled vector).Head.What
                  let theta = edit.Init 16 (Rng.ofSeed 1L)
                  let found = Intervention.apply (Context.ofRows (Array.create 5 0)) h (edit.Bind theta)
                  let before, after = h.matmul v, found.matmul v

                  for row in 0L .. 4L do
                      let expected = min 0.0 (number before[row])
                      Expect.isLessThan (abs (expected - number after[row])) 1e-4 $"row {row}, {number before[row]}")
          }
          test "factors are drawn for each pair, the same for both rows, and reproducibly" {
              let options =
                  { Reps.defaults with
                      Factors = [ 1.0; 2.0; 4.0 ] }

              let factors seed =
                  Reps.factors
                      options
                      { batch PaddingSide.Right with
                          Random = Some(Rng.ofSeed seed) }

              for seed in 0L .. 9L do
                  let drawn = factors seed
                  Expect.equal drawn[..3] drawn[4..] "both rows"
                  Expect.equal (factors seed) (factors seed) "reproducible"

              let all = [ 0L .. 9L ] |> List.collect (factors >> Array.toList) |> List.distinct
              Expect.equal (List.sort all) [ 1.0; 2.0; 4.0 ] "every factor is drawn"
              Expect.equal (Reps.factors options (batch PaddingSide.Right)) (Array.create 8 (7.0 / 3.0)) "the mean"
          }
          test "steps leave no tensor behind; pairs apart make the same step" {
              scoped (fun () ->
                  let loss = Reps.loss Reps.defaults (Tuned.reft spec (model ()))
                  leavesNothing loss (parameters ()) (batch PaddingSide.Right)
                  accumulates loss (parameters ()) (pairs ()))
          }
          test "what is refused" {
              scoped (fun () ->
                  let tuned = Tuned.reft spec (model ())
                  let loss factors () = Reps.loss { Reps.defaults with Factors = factors } tuned
                  refuses "at least one steering factor" (loss [])
                  refuses "positive numbers, found -1" (loss [ -1.0 ])

                  refuses "none is attached" (fun () ->
                      Reps.loss Reps.defaults (Tuned.reft [] (model ())) (batch PaddingSide.Right) Parameters.empty)

                  refuses "stand alone" (fun () ->
                      let row = Example.ofCompletion [| 1 |] [| 2 |]
                      Reps.loss Reps.defaults tuned (Batch.create PaddingSide.Right [ row ]) (parameters ())))
          } ]
