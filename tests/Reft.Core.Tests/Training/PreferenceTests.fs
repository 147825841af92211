module Reft.Core.Tests.Training.PreferenceTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Training.PairFixture

let private methods =
    [ "DPO", { Preference.defaults with Beta = 0.7 }
      "DPO with smoothed labels",
      { Method = PreferenceMethod.Dpo 0.2
        Beta = 0.7 }
      "IPO",
      { Method = PreferenceMethod.Ipo
        Beta = 0.4 }
      "SimPO",
      { Method = PreferenceMethod.SimPo 0.3
        Beta = 2.0 } ]

/// The loss of a pair from log p of its rows under policy and reference, in plain numbers.
let private formula options (chosen: Example, policyChosen, baseChosen) (rejected: Example, policyRejected, baseRejected) =
    let beta = options.Beta

    let h =
        beta * ((policyChosen - baseChosen) - (policyRejected - baseRejected))

    match options.Method with
    | PreferenceMethod.Dpo smoothing -> -(1.0 - smoothing) * log (sigmoid h) - smoothing * log (sigmoid -h)
    | PreferenceMethod.Ipo -> (h / beta - 1.0 / (2.0 * beta)) ** 2.0
    | PreferenceMethod.SimPo margin ->
        let reward (row: Example) logProb =
            beta * logProb / float row.ScoredCount

        -(log (sigmoid (reward chosen policyChosen - reward rejected policyRejected - margin)))

let private identity =
    Loreft.create
        { Loreft.options 2 with
            Start = Start.Identity }
    |> at (blockOutput [ 0; 2 ]) (first 1 + last 2)

[<Tests>]
let tests =
    testList
        "Preferences"
        [ test "log-probabilities of rows are the formula's, and both formulas agree in value and gradient" {
              scoped (fun () ->
                  let model = model ()
                  let theta = parameters ()

                  for side in [ PaddingSide.Right; PaddingSide.Left ] do
                      let batch = batch side

                      let of' (prepare: Context -> Context) (v: Tensor) =
                          let theta = theta.OfVector v

                          let struct (context, tuned) =
                              Tuned.reft spec model
                              |> Tuned.preparing (fun _ -> prepare)
                              |> Tuned.attach batch theta

                          tuned |> SequenceLogProbs.ofBatch batch context

                      let expected = pairs () |> rowsOf |> List.map (logProb spec theta model >> number)
                      let found = of' id theta.Vector
                      List.iteri (fun row expected -> expectClose $"row {row}" expected (number found[int64 row])) expected
                      let weights = Rng.normal [ 8L ] (Rng.ofSeed 3L)

                      let gradient prepare =
                          dsharp.grad (fun v -> (of' prepare v * weights).sum()) theta.Vector

                      Expect.isLessThan
                          (relative (gradient id) (gradient Context.withPlainAttention))
                          1e-4
                          "gradient")
          }
          for name, options in methods do
              test $"{name}: the loss is the formula's, under either padding" {
                  scoped (fun () ->
                      let model = model ()
                      let theta = parameters ()

                      let expected =
                          pairs ()
                          |> List.averageBy (fun pair ->
                              let of' row =
                                  row, number (logProb spec theta model row), number (logProb [] theta model row)

                              formula options (of' { pair with Rejected = None }) (of' pair.Rejected.Value))

                      for side in [ PaddingSide.Right; PaddingSide.Left ] do
                          let tuned = Tuned.reft spec model
                          let loss = Preference.loss options tuned (batch side) theta
                          expectClose "loss" expected (number loss)
                          let metrics = Preference.metrics options tuned [ batch side ] theta
                          expectClose "measured" expected (metric "loss" metrics)

                          expectClose
                              "margin"
                              (metric "chosen_reward" metrics - metric "rejected_reward" metrics)
                              (metric "margin" metrics))
              }

              test $"{name}: the gradient is the difference's, and that of smooth formulas" {
                  scoped (fun () ->
                      let tuned = Tuned.reft spec (model ())
                      let theta = parameters ()
                      differences (Preference.loss options tuned) theta (batch PaddingSide.Right)
                      smoothAgrees (Preference.loss options) tuned theta (batch PaddingSide.Left))
              }
          test "at the start of DPO the loss is log 2 and the gradient half of β times that of the margin" {
              scoped (fun () ->
                  let model = model ()
                  let theta = Reft.init identity config (Rng.ofSeed 4L)
                  let tuned = Tuned.reft identity model
                  let options = { Preference.defaults with Beta = 0.3 }

                  let loss, gradient =
                      dsharp.fgrad
                          (fun v -> Preference.loss options tuned (batch PaddingSide.Right) (theta.OfVector v))
                          theta.Vector

                  expectClose "log 2" (log 2.0) (number loss)

                  let margin (v: Tensor) =
                      let theta = theta.OfVector v

                      pairs ()
                      |> List.map (fun pair ->
                          logProb identity theta model { pair with Rejected = None }
                          - logProb identity theta model pair.Rejected.Value)
                      |> List.reduce (+)

                  let expected = dsharp.grad margin theta.Vector * float32 (-0.5 * 0.3 / 4.0)
                  Expect.isLessThan (relative gradient expected) 1e-3 "gradient")
          }
          test "a reference other than the model itself is measured against" {
              scoped (fun () ->
                  let model, other = model (), create torch.float32 9L
                  let theta = parameters ()
                  let batch = batch PaddingSide.Right

                  let reference: Preference.Reference =
                      fun batch _ -> struct (Batch.context other batch, other)

                  let found =
                      Preference.lossAgainst Preference.defaults reference (Tuned.reft spec model) batch theta

                  let expected =
                      pairs ()
                      |> List.averageBy (fun pair ->
                          let of' row =
                              row, number (logProb spec theta model row), number (logProb [] theta other row)

                          formula Preference.defaults (of' { pair with Rejected = None }) (of' pair.Rejected.Value))

                  expectClose "loss" expected (number found))
          }
          for name, options in methods do
              test $"{name} learns a preference" {
                  scoped (fun () ->
                      let tuned = Tuned.reft identity (model ())
                      let start = Reft.init identity config (Rng.ofSeed 4L)

                      let measure theta =
                          Preference.metrics options tuned (Batch.epoch PaddingSide.Right 3 None (List.toArray (pairs ()))) theta

                      let before = measure start
                      let after = train 30 (Preference.loss options tuned) start (pairs ()) |> measure
                      Expect.isLessThan (metric "accuracy" before) 1.0 "not all pairs before"
                      Expect.equal (metric "accuracy" after) 1.0 "all pairs after"
                      Expect.isLessThan (metric "loss" after) (metric "loss" before) "loss")
              }
          test "pairs apart make the same step as one large batch" {
              scoped (fun () ->
                  accumulates (Preference.loss Preference.defaults (Tuned.reft spec (model ()))) (parameters ()) (pairs ()))
          }
          test "steps leave no tensor behind" {
              scoped (fun () ->
                  leavesNothing
                      (Preference.loss Preference.defaults (Tuned.reft spec (model ())))
                      (parameters ())
                      (batch PaddingSide.Right))
          }
          test "a pair weighs one term, is as long as its longer row, and is cut on both sides after the same prompt" {
              let pair = (pairs ())[1]
              Expect.equal pair.ScoredCount 1 "terms"
              Expect.equal pair.Length 11 "length"
              let batch = Batch.create PaddingSide.Right (pairs ())
              Expect.equal (batch.Pairs, batch.Rows, batch.Terms) (4, 8, 4) "pairs, rows, terms"
              let cut = Example.truncate 8 pair
              Expect.equal (cut.Ids.Length, cut.Rejected.Value.Ids.Length) (7, 8) "lengths"
              Expect.equal cut.Ids[..5] cut.Rejected.Value.Ids[..5] "prompt"
              Expect.equal cut.ScoredCount 1 "still a pair"
              Expect.equal (Example.truncate 6 pair).ScoredCount 0 "nothing is left of the completions"
              let equal = Example.ofCompletion [| 1 |] [| 2 |]
              Expect.equal (equal |> Example.preferredTo equal).ScoredCount 0 "equal completions teach nothing"
              let whole = Example.wholePrompt pair
              Expect.equal (whole.Prompt, whole.Rejected.Value.Prompt) (7, 11) "whole rows as prompts"
          }
          test "what is refused" {
              scoped (fun () ->
                  let tuned = Tuned.reft spec (model ())
                  let row = Example.ofCompletion [| 1; 2 |] [| 3 |]
                  let pair = (pairs ())[0]

                  refuses "the same prompt" (fun () ->
                      row |> Example.preferredTo (Example.ofCompletion [| 1; 4 |] [| 3 |]))

                  refuses "found a pair" (fun () -> pair |> Example.preferredTo row)
                  refuses "found 1 pairs among 2" (fun () -> Batch.create PaddingSide.Right [ pair; row ])

                  refuses "stand alone" (fun () ->
                      Preference.loss Preference.defaults tuned (Batch.create PaddingSide.Right [ row ]) (parameters ()))

                  let loss options () = Preference.loss options tuned
                  refuses "β" (loss { Preference.defaults with Beta = 0.0 })

                  refuses
                      "label smoothing"
                      (loss
                          { Preference.defaults with
                              Method = PreferenceMethod.Dpo 0.5 })

                  refuses
                      "margin"
                      (loss
                          { Preference.defaults with
                              Method = PreferenceMethod.SimPo -1.0 })

                  refuses "nothing to evaluate" (fun () ->
                      Preference.metrics Preference.defaults tuned [] (parameters ())))
          } ]
