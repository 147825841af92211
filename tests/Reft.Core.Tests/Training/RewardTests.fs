module Reft.Core.Tests.Training.RewardTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Training.PairFixture

let private head task =
    Classifier.create HeadTraining.Classifier task config.Hidden SequenceHead.score (fun _ -> None) (Rng.ofSeed 3L)

let private start () =
    let classifier = head SequenceTask.regression

    classifier,
    Parameters.concat [ Reft.init spec config (Rng.ofSeed 4L); classifier.Parameters ]
    |> moved

let private wholePairs () =
    pairs () |> List.map Example.wholePrompt

/// The reward of a row alone, written out.
let private reward (theta: Parameters) (model: Transformer) (row: Example) =
    let batch = Batch.create PaddingSide.Right [ row ]
    let context = Batch.context model batch

    let hidden =
        model
        |> Reft.attach spec theta context
        |> Transformer.hidden context (Batch.ids torch.CPU batch)

    number (hidden[0L, int64 row.Ids.Length - 1L].dot(theta["head.score.weight"][0L]))

[<Tests>]
let tests =
    testList
        "Rewards"
        [ test "the loss is the formula's, under either padding, with and without centering" {
              scoped (fun () ->
                  let model = model ()
                  let classifier, theta = start ()

                  for centering in [ 0.0; 0.05 ] do
                      let expected =
                          wholePairs ()
                          |> List.averageBy (fun pair ->
                              let chosen = reward theta model { pair with Rejected = None }
                              let rejected = reward theta model pair.Rejected.Value

                              -(log (sigmoid (chosen - rejected)))
                              + centering * (chosen + rejected) ** 2.0)

                      for side in [ PaddingSide.Right; PaddingSide.Left ] do
                          let batch = wholePairs () |> Batch.create side
                          let tuned = Tuned.reft spec model
                          expectClose "loss" expected (number (Reward.loss centering classifier tuned batch theta))

                          expectClose
                              "measured"
                              expected
                              (Reward.metrics centering classifier tuned [ batch ] theta |> metric "loss"))
          }
          test "the gradient is the difference's; steps leave no tensor behind; pairs apart make the same step" {
              scoped (fun () ->
                  let classifier, theta = start ()
                  let loss = Reward.loss 0.01 classifier (Tuned.reft spec (model ()))
                  let batch = wholePairs () |> Batch.create PaddingSide.Right
                  differences loss theta batch
                  leavesNothing loss theta batch
                  accumulates loss theta (wholePairs ()))
          }
          test "a reward learns to rank" {
              scoped (fun () ->
                  let classifier, _ = start ()
                  let tuned = Tuned.reft spec (model ())

                  let theta =
                      Parameters.concat [ Reft.init spec config (Rng.ofSeed 4L); classifier.Parameters ]

                  // The same pairs with their rows exchanged show that it is learnt and no accident.
                  let turned =
                      pairs ()
                      |> List.map (fun pair ->
                          pair.Rejected.Value |> Example.preferredTo { pair with Rejected = None })

                  for examples in [ wholePairs (); turned |> List.map Example.wholePrompt ] do
                      let measure theta =
                          Reward.metrics 0.0 classifier tuned [ Batch.create PaddingSide.Right examples ] theta

                      let after = train 30 (Reward.loss 0.0 classifier tuned) theta examples |> measure
                      Expect.equal (metric "accuracy" after) 1.0 "accuracy"
                      Expect.isGreaterThan (metric "margin" after) 0.5 "margin")
          }
          test "what is refused" {
              scoped (fun () ->
                  let tuned = Tuned.reft spec (model ())
                  let classifier, _ = start ()

                  refuses "single_label_classification with 2" (fun () ->
                      Reward.loss 0.0 (head (SequenceTask.create SequenceProblem.SingleLabel [ "a"; "b" ])) tuned)

                  refuses "centering" (fun () -> Reward.loss -1.0 classifier tuned)

                  refuses "stand alone" (fun () ->
                      Reward.loss
                          0.0
                          classifier
                          tuned
                          (Batch.create PaddingSide.Right [ Example.ofCompletion [| 1 |] [| 2 |] ])
                          (start () |> snd)))
          } ]
