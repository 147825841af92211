module Reft.Core.Tests.Interventions.DropoutTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private rate = 0.25

let private noisy seed =
    Context.ofRows [||] |> Context.withRandom (Rng.ofSeed seed)

let private applied context (what: Intervention) (theta: Parameters) h =
    Intervention.apply context h (what.Bind theta)

let private rows () =
    Rng.normal [ 400L; 50L ] (Rng.ofSeed 5L)

/// The rows kept are exactly 1/(1 − p) of the others; their share is 1 − p within four standard errors.
let private expectThinned (whole: Tensor) (thinned: Tensor) =
    let kept = thinned.ne (0.0f.ToScalar())
    let share = float (kept.``to``(torch.float32).mean().item<float32>())
    let error = sqrt (rate * (1.0 - rate) / float (whole.numel ()))
    Expect.isLessThan (abs (share - (1.0 - rate))) (4.0 * error) "the share that is kept"
    let grown = whole * kept.``to`` torch.float32 / float32 (1.0 - rate)
    Expect.isLessThan (relative thinned grown) 1e-6 "what is kept grows by 1/(1 − p)"

[<Tests>]
let tests =
    testList
        "Dropout"
        [ test "of the output: h′ is dropped, as pyreft does" {
              scoped (fun () ->
                  let what = loreft 4
                  let theta = what.Init 50 (Rng.ofSeed 1L)
                  let h = rows ()
                  let whole = applied (Context.ofRows [||]) what theta h
                  expectThinned whole (applied (noisy 1L) (dropoutOutput rate what) theta h))
          }
          test "of the edit: the change is dropped, the hidden state never" {
              scoped (fun () ->
                  let what = loreft 4
                  let theta = what.Init 50 (Rng.ofSeed 1L)
                  let h = rows ()

                  let change what context =
                      match (what: Intervention).Bind theta with
                      | Edit.Delta f -> f context h
                      | Edit.Replace _ -> failtest "a change was expected"

                  expectThinned (change what (Context.ofRows [||])) (change (dropout rate what) (noisy 1L))

                  let still =
                      Loreft.create
                          { Loreft.options 4 with
                              Start = Start.Identity }

                  Expect.isTrue
                      (Golden.same h (applied (noisy 1L) (dropout rate still) (still.Init 50 (Rng.ofSeed 1L)) h))
                      "Δ = 0 leaves h as it is")
          }
          test "none where nothing is random" {
              scoped (fun () ->
                  let what = loreft 4
                  let theta = what.Init 50 (Rng.ofSeed 1L)
                  let h = rows ()
                  let plain = applied (Context.ofRows [||]) what theta h

                  for dropped in [ dropout rate what; dropoutOutput rate what ] do
                      Expect.isTrue
                          (Golden.same plain (applied (Context.ofRows [||]) dropped theta h))
                          (string dropped.Form))
          }
          test "evaluation has none, training has, and a step draws the same noise whenever it is taken" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = examples 2L 3 [ 9; 7 ] |> Batch.create PaddingSide.Right

                  let spec what =
                      what |> at (blockOutput [ 0; 1 ]) (first 2 + last 2)

                  let theta = Reft.init (spec (loreft 2)) config (Rng.ofSeed 1L)

                  let evaluate what =
                      Trainer.evaluate (Loss.reft (spec what) model) theta [ batch ]

                  let plain = evaluate (loreft 2)
                  Expect.equal (evaluate (dropoutOutput 0.5 (loreft 2))) plain "evaluation"

                  let loss = Loss.reft (spec (dropoutOutput 0.5 (loreft 2))) model
                  let options = Trainer.options 1e-3

                  let step state =
                      Trainer.step options loss [| batch |] state

                  let start = TrainState.create (Rng.ofSeed 4L) theta
                  let struct (first, next) = step start
                  let copy = TrainState.copy next
                  let struct (second, _) = step next
                  let struct (again, _) = step copy
                  Expect.notEqual first.Loss plain "training drops"
                  Expect.equal again.Loss second.Loss "the same step, resumed"

                  let still = step { start with Step = 1 } // the second step, with the first one's parameters

                  let struct (other, _) = still
                  Expect.notEqual other.Loss first.Loss "another step draws other noise")
          }
          test "placements, groups and parts draw noise of their own" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let seen = ResizeArray<Rng option>()

                  let watch name =
                      Intervention.define name (fun _ _ -> Parameters.empty) (fun _ context h ->
                          seen.Add context.Random
                          torch.zeros_like h)

                  let spec = (watch "a" + watch "b") |> at (blockOutput [ 0; 1 ]) (first 2 + last 2)

                  let batch = examples 2L 3 [ 9; 7 ] |> Batch.create PaddingSide.Right

                  let run random =
                      seen.Clear()

                      let context =
                          { Batch.context model batch with
                              Random = random }

                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Transformer.residual context (Batch.ids model.Device batch)
                      |> ignore

                  run (Some(Rng.ofSeed 1L))
                  Expect.equal seen.Count 8 "two placements, two groups, two parts"
                  Expect.equal (seen |> Seq.distinct |> Seq.length) 8 "all different"
                  Expect.isTrue (seen |> Seq.forall Option.isSome) "in training"
                  run None
                  Expect.isTrue (seen |> Seq.forall Option.isNone) "else none")
          } ]
