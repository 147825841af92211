module Reft.Core.Tests.Training.DistillationTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Training.PairFixture

let private rows = examples 3L 3 [ 9; 6; 7; 8 ]
let private options = { Temperature = 2.5; Weight = 0.7 }

/// The logits of a row's scored tokens, and the tokens.
let private scored spec (theta: Parameters) (model: Transformer) (row: Example) =
    let batch = Batch.create PaddingSide.Right [ row ]
    let context = Batch.context model batch

    let logits =
        model
        |> Reft.attach spec theta context
        |> Transformer.logits context (Batch.ids torch.CPU batch)

    [ for token in row.Prompt .. row.Ids.Length - 1 -> logits[0L, int64 token - 1L], row.Ids[token] ]

let private formula (options: DistillationOptions) student teacher =
    List.zip student teacher
    |> List.averageBy (fun ((z: Tensor, token: int), (t: Tensor, _)) ->
        let temperature = float32 options.Temperature
        let p, q = (t / temperature).softmax(0L), (z / temperature).softmax (0L)
        let kl = number ((p * (p / q).log()).sum())
        let entropy = -(log (number (z.softmax(0L)[int64 token])))

        options.Weight * options.Temperature * options.Temperature * kl
        + (1.0 - options.Weight) * entropy)

/// A model with a cap of its logits, as Gemma 2 has.
let private capped (model: Transformer) =
    { model with
        LanguageHead =
            model.LanguageHead
            |> Option.map (fun head -> { head with Softcap = Some 2.0 }) }

[<Tests>]
let tests =
    testList
        "Distillation"
        [ test "the loss is the formula's, under either padding, with a teacher of another width" {
              scoped (fun () ->
                  let wide = { config with Hidden = 24; Heads = { Heads = 6; KvHeads = 2; HeadDim = 4 } }
                  let model = model ()
                  let other = weights wide 5L |> ofWeights torch.float32 wide
                  let theta = parameters ()

                  let expected =
                      formula
                          options
                          (rows |> List.collect (scored spec theta model))
                          (rows |> List.collect (scored [] theta other))

                  for side in [ PaddingSide.Right; PaddingSide.Left ] do
                      let batch = Batch.create side rows
                      let teacher, tuned = Distillation.teacher [] other, Tuned.reft spec model
                      expectClose "loss" expected (number (Distillation.loss options teacher tuned batch theta))
                      let metrics = Distillation.metrics options teacher tuned [ batch ] theta
                      expectClose "measured" expected (metric "loss" metrics)

                      expectClose
                          "its parts"
                          expected
                          (options.Weight * 6.25 * metric "kl" metrics
                           + (1.0 - options.Weight) * metric "language" metrics))
          }
          test "the gradient is the difference's, and that of smooth formulas, capped logits included" {
              scoped (fun () ->
                  let theta = parameters ()
                  let batch = Batch.create PaddingSide.Right rows

                  for model in [ model (); capped (model ()) ] do
                      let teacher = Distillation.teacher [] (create torch.float32 5L |> capped)
                      let tuned = Tuned.reft spec model
                      differences (Distillation.loss options teacher tuned) theta batch
                      smoothAgrees (Distillation.loss options teacher) tuned theta batch)
          }
          test "chunk by chunk it is the same as at once" {
              scoped (fun () ->
                  // So many tokens that a chunk holds 16 rows.
                  let vocabulary, n = 530_000L, 20L
                  let draw seed shape = Rng.normal shape (Rng.ofSeed seed)

                  let head seed width =
                      draw seed [ vocabulary; width ] |> Linear.dense None |> LanguageHead.ofMap

                  let student, teacher = head 1L 3L, head 2L 2L
                  let teacherHidden = draw 3L [ n; 2L ]

                  let targets =
                      torch.tensor [| for i in 0L .. n - 1L -> i * 26_000L |]

                  let at loss =
                      dsharp.fgrad (fun (h: Tensor) -> loss options teacher student teacherHidden h targets) (draw 4L [ n; 3L ])

                  let value, gradient = at Distillation.fused
                  let plainValue, plainGradient = at Distillation.plain
                  Expect.isLessThan (relative value plainValue) 1e-5 "value"
                  Expect.isLessThan (relative gradient plainGradient) 1e-4 "gradient"

                  let logProbs f (h: Tensor) =
                      ((f student h targets: Tensor) * torch.arange (n, dtype = torch.float32)).sum()

                  let value, gradient =
                      dsharp.fgrad (logProbs SequenceLogProbs.fused) (draw 4L [ n; 3L ])

                  let plainValue, plainGradient =
                      dsharp.fgrad (logProbs SequenceLogProbs.plain) (draw 4L [ n; 3L ])

                  Expect.isLessThan (relative value plainValue) 1e-5 "value of log-probabilities"
                  Expect.isLessThan (relative gradient plainGradient) 1e-4 "gradient of log-probabilities")
          }
          test "the KL is 0 where student and teacher are the same, and a student comes near another one" {
              scoped (fun () ->
                  let model = model ()
                  let theta = parameters ()
                  let tuned = Tuned.reft spec model
                  let batch = Batch.create PaddingSide.Right rows
                  use bound = Reft.bind spec theta
                  let teacher = Distillation.teacher [ bound ] model

                  let kl theta =
                      Distillation.metrics Distillation.defaults teacher tuned [ batch ] theta |> metric "kl"

                  Expect.isLessThan (abs (kl theta)) 1e-6 "the same"
                  let start = Reft.init spec config (Rng.ofSeed 40L)
                  let before = kl start

                  let after =
                      train 60 (Distillation.loss Distillation.defaults teacher tuned) start rows |> kl

                  Expect.isGreaterThan before 0.01 "another student"
                  Expect.isLessThan after (0.3 * before) $"nearer than {before}")
          }
          test "a teacher may read another prompt" {
              scoped (fun () ->
                  let model = model ()
                  let theta = parameters ()

                  let view (row: Example) =
                      Example.ofCompletion (Array.append [| 7; 8; 9 |] row.Ids[.. row.Prompt - 1]) row.Ids[row.Prompt ..]

                  let teacher = Distillation.teacher [] model |> Distillation.seeing view

                  let expected =
                      formula
                          options
                          (rows |> List.collect (scored spec theta model))
                          (rows |> List.collect (view >> scored [] theta model))

                  let loss =
                      Distillation.loss options teacher (Tuned.reft spec model) (Batch.create PaddingSide.Left rows) theta

                  expectClose "loss" expected (number loss))
          }
          test "steps leave no tensor behind; rows apart make the same step" {
              scoped (fun () ->
                  let teacher = Distillation.teacher [] (create torch.float32 5L)
                  let loss = Distillation.loss options teacher (Tuned.reft spec (model ()))
                  leavesNothing loss (parameters ()) (Batch.create PaddingSide.Right rows)
                  accumulates loss (parameters ()) rows)
          }
          test "what is refused" {
              scoped (fun () ->
                  let model = model ()
                  let tuned = Tuned.reft spec model
                  let batch = Batch.create PaddingSide.Right rows
                  let teacher = Distillation.teacher [] model

                  let refusesOptions text options =
                      refuses text (fun () -> Distillation.loss options teacher tuned)

                  refusesOptions "temperature" { options with Temperature = 0.0 }
                  refusesOptions "weight of 0 … 1" { options with Weight = 1.5 }
                  let small = { config with Vocabulary = 39 }
                  let other = weights small 5L |> ofWeights torch.float32 small |> Distillation.teacher []


                  refuses "vocabulary of 40, found 39" (fun () ->
                      Distillation.loss options other tuned (Batch.create PaddingSide.Right [ Example.ofCompletion [| 1; 2 |] [| 3 |] ]) (parameters ()))

                  let view (row: Example) =
                      Example.ofCompletion row.Ids[.. row.Prompt] row.Ids[row.Prompt + 1 ..]

                  refuses "the same tokens" (fun () ->
                      Distillation.loss options (teacher |> Distillation.seeing view) tuned batch (parameters ())))
          } ]
