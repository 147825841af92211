module Reft.Core.Tests.Training.PackingTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private third =
    PositionFunction.create "third-token" (fun row -> if row.Ids.Length > 2 then [ 2 ] else [])

let private specs: (string * ReftSpec) list =
    [ "prefix and suffix", loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
      "components",
      (loreft 2 |> at (query [ 1 ] @ value [ 2 ]) all |> tied)
      @ (noreft 2 |> at (mlpOutput [ 1 ]) (last 1))
      "functions and phases",
      (loreft 2 |> at (blockOutput [ 1 ]) (Positions.Function third))
      @ (loreft 2 |> at (blockOutput [ 2 ]) all |> ReftSpec.during Phase.Decode) ]

let private agrees what loss theta (rows: Example list) columns =
    let plainValue, plainGradient =
        Batch.create PaddingSide.Right rows |> TinyFamilies.valueAndGradient loss theta

    for side in [ PaddingSide.Right; PaddingSide.Left ] do
        let batch = Batch.pack columns side rows
        Expect.isTrue batch.IsPacked "something is packed"
        let value, gradient = batch |> TinyFamilies.valueAndGradient loss theta

        Expect.floatClose
            { absolute = 0.0; relative = 1e-6 }
            (float value)
            (float plainValue)
            $"{what}: loss, padded on {side}"

        Expect.isLessThan (relative gradient plainGradient) 1e-6 $"{what}: gradient, padded on {side}"

[<Tests>]
let tests =
    testList
        "Packing"
        [ for family, config in TinyFamilies.decoders do
              test $"{config.Family}: packed examples have the loss and gradients of unpacked ones" {
                  scoped (fun () ->
                      let model = TinyFamilies.create torch.float32 (family, config)
                      let rows = examples 6L 3 [ 9; 5; 7; 6; 12; 8 ]

                      for name, spec in specs do
                          let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                          agrees name (Loss.reft spec model) theta rows 17)
              }
          for family, config in TinyFamilies.decoders @ TinyFamilies.encoders do
              test $"{config.Family}: packed rows are classified as unpacked ones" {
                  scoped (fun () ->
                      let model = TinyFamilies.create torch.float32 (family, config)
                      let rows = TinyFamilies.labelled config [ 9; 5; 7; 6; 12; 8 ]
                      let classifier = TinyFamilies.classifier (family, config)
                      let spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 1 + last 1)

                      let theta =
                          Parameters.concat [ Reft.init spec config (Rng.ofSeed 2L); classifier.Parameters ]
                          |> TinyFamilies.moved

                      agrees "sequence" (Loss.classifier spec classifier model) theta rows 17

                      let logits batch =
                          use bound = Reft.bind spec (theta)
                          Classify.logits [ bound ] (Classifier.withParameters theta classifier) model batch

                      let plain = logits (Batch.create PaddingSide.Right rows)
                      let packed = logits (Batch.pack 17 PaddingSide.Right rows)

                      for a, b in Seq.zip (Seq.concat plain) (Seq.concat packed) do
                          Expect.floatClose Accuracy.medium (float b) (float a) "logits")
              }
          test "subspaces act on the examples that name them" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let what = PartitionedLoreft.create 4 [ [ 0; 1 ]; [ 2; 3 ] ]

                  let spec = what |> at (blockOutput [ 1 ]) (first 2)
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved

                  let rows =
                      examples 6L 3 [ 9; 5; 7; 6 ]
                      |> List.mapi (fun i e -> { e with Subspaces = [ i % 2 ] })

                  agrees "subspaces" (Loss.reft spec model) theta rows 17)
          }
          test "scores of packed examples, and collected activations, are those of unpacked ones" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 6L 3 [ 9; 5; 7; 6 ]

                  let plain, packed =
                      Batch.create PaddingSide.Right rows, Batch.pack 17 PaddingSide.Right rows

                  let a, b = Score.logprobs [] model plain, Score.logprobs [] model packed

                  for x, y in Seq.zip (Seq.concat a) (Seq.concat b) do
                      Expect.floatClose Accuracy.medium (float y) (float x) "log probability"

                  let collect (batch: Batch) =
                      Reft.collect
                          "run"
                          (blockOutput [ 1 ])
                          (first 1 + last 2)
                          (Batch.context model batch)
                          (Batch.ids torch.CPU batch)
                          model
                      |> List.exactlyOne

                  let a, b = collect plain, collect packed
                  Expect.equal b.Rows a.Rows "examples"
                  Expect.equal b.Tokens a.Tokens "tokens"
                  Expect.isLessThan (relative b.Values a.Values) 1e-6 "values")
          }
          test "a run on packed rows counts them in its batches, and learns" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
                  let rows = examples 3L 2 [ 9; 6; 7; 8; 5; 9; 6; 8 ]

                  let options =
                      { Fit.defaults with
                          Epochs = 30
                          BatchSize = 2
                          Batching = Batching.Packed 20
                          LearningRate = 2e-2 }

                  let state =
                      Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed 4L)

                  let result =
                      Fit.run
                          options
                          (FitTask.create (Loss.reft spec model) rows)
                          (fun _ _ -> ())
                          System.Threading.CancellationToken.None
                          state

                  let first, last = List.head result.History, List.last result.History
                  // 58 tokens are three rows of 20 or four, and so two batches.
                  Expect.equal last.TotalSteps 60 "steps"
                  Expect.isLessThan last.Report.Loss (0.7 * first.Report.Loss) "loss")
          } ]
