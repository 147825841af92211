module Reft.Core.Tests.Training.TrainerTests

open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)

let private start () =
    Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed 4L)

let private rows = examples 3L 2 [ 9; 6; 7; 8; 5; 9; 6; 8 ]
let private quiet: FitProgress -> FitState -> unit = fun _ _ -> ()

let private fit options examples cancel =
    let model = create torch.float32 1L

    Fit.run options (FitTask.create (Loss.reft spec model) examples) quiet cancel (start ())

let private fast =
    { Fit.defaults with
        Epochs = 40
        BatchSize = 4
        LearningRate = 2e-2 }

let private rss () =
    System.IO.File.ReadAllLines "/proc/self/status"
    |> Array.pick (fun line ->
        if line.StartsWith "VmRSS:" then
            Some(
                line.Split([| ' '; '\t' |], System.StringSplitOptions.RemoveEmptyEntries)[1]
                |> int64
            )
        else
            None)

[<Tests>]
let tests =
    testList
        "Training"
        [ test "LoReFT learns, and the frozen weights stay as they were" {
              scoped (fun () ->
                  let weights = weights config 1L
                  let before = weights.Vector.clone ()
                  let model = ofWeights torch.float32 config weights

                  let result =
                      Fit.run fast (FitTask.create (Loss.reft spec model) rows) quiet CancellationToken.None (start ())

                  let first, last =
                      (List.head result.History).Report.Loss, (List.last result.History).Report.Loss

                  Expect.isLessThan last (0.7 * first) $"the loss falls by a third or more, from {first}"
                  Expect.isTrue (before.equal(weights.Vector).all().item<bool>()) "weights")
          }
          test "the same seed gives the same run, another seed another" {
              scoped (fun () ->
                  let losses seed =
                      let model = create torch.float32 1L

                      let state =
                          Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed seed)

                      (Fit.run fast (FitTask.create (Loss.reft spec model) rows) quiet CancellationToken.None state)
                          .History
                      |> List.map (fun p -> p.Report.Loss)

                  Expect.equal (losses 1L) (losses 1L) "same"
                  Expect.notEqual (losses 1L) (losses 2L) "other order")
          }
          test "accumulated micro-batches make the same step as one large batch" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let loss = Loss.reft spec model
                  // Of unequal numbers of scored tokens, so that a mean of means would be wrong.
                  let uneven = (examples 3L 2 [ 9; 6; 7 ]) @ (examples 5L 4 [ 9 ])

                  let parts =
                      uneven
                      |> List.map (fun e -> Batch.create PaddingSide.Right [ e ])
                      |> List.toArray

                  let options = Trainer.options 1e-2

                  let struct (a, stateA) =
                      Trainer.step options loss [| Batch.create PaddingSide.Right uneven |] (start ())

                  let struct (b, stateB) = Trainer.step options loss parts (start ())
                  Expect.floatClose Accuracy.medium a.Loss b.Loss "loss"
                  Expect.floatClose Accuracy.medium a.GradientNorm b.GradientNorm "gradient norm"
                  Expect.isLessThan (relative stateA.Theta stateB.Theta) 1e-5 "parameters")
          }
          test "weight decay shrinks what is decayed and nothing else" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = [| Batch.create PaddingSide.Right rows |]

                  let after decay =
                      let options =
                          { Trainer.options 1e-2 with
                              AdamW =
                                  { AdamW.defaults with
                                      WeightDecay = decay } }

                      let struct (_, state) = Trainer.step options (Loss.reft spec model) batch (start ())
                      state.Parameters

                  let plain, decayed, before = after 0.0, after 0.5, (start ()).Parameters

                  for p in plain.Entries do
                      let expected =
                          if p.Name.EndsWith "weight" then
                              p.Value - before[p.Name] * (1e-2f * 0.5f)
                          else
                              p.Value

                      Expect.isLessThan (relative decayed[p.Name] expected) 1e-6 p.Name)
          }
          test "the schedules are transformers'" {
              let linear = Schedule.linear 2 10

              Expect.equal
                  [ linear 0; linear 1; linear 2; linear 6; linear 10; linear 11 ]
                  [ 0.0; 0.5; 1.0; 0.5; 0.0; 0.0 ]
                  "linear"

              Expect.equal (Schedule.warmupSteps 0.1 25) 3 "rounded up"
          }
          test "only supervised positions reach the head, and both losses agree in value and gradient" {
              scoped (fun () ->
                  let weights = weights config 1L
                  let batch = Batch.create PaddingSide.Left rows

                  let gradients (tied: bool) kernel =
                      let config = { config with TiedHead = tied }
                      let theta = Reft.init spec config (Rng.ofSeed 4L) |> Parameters.prefixed "reft"

                      let all =
                          Parameters.concat
                              [ theta
                                weights.Entries
                                |> Seq.filter (fun p -> not tied || p.Name <> "lm_head.weight")
                                |> Parameters ]

                      let f (v: Tensor) =
                          let set = all.OfVector v
                          let model = Llama.build config (fun name -> set[name])
                          let context = model |> Transformer.context None 0 batch.Columns batch.Spans
                          let tuned = model |> Reft.attach spec (set.Sub "reft") context
                          let hidden = tuned |> Transformer.hidden context (Batch.ids torch.CPU batch)
                          let scored = hidden.view(-1L, 16L).index_select(0L, torch.tensor batch.Scored)
                          CrossEntropy.mean kernel (Transformer.languageHead tuned) scored (torch.tensor batch.Targets)

                      dsharp.fgrad f all.Vector

                  for tied in [ false; true ] do
                      let fused, fusedGradient = gradients tied AttentionKernel.Fused
                      let plain, plainGradient = gradients tied AttentionKernel.Plain
                      Expect.isLessThan (relative fused plain) 1e-6 "value"
                      Expect.isLessThan (relative fusedGradient plainGradient) 1e-6 $"gradient, tied = {tied}")
          }
          test "the plain loss has second derivatives through the whole model" {
              scoped (fun () ->
                  let small = loreft 1 |> at (blockOutput [ 1 ]) (first 1)
                  let model = create torch.float32 1L
                  let batch = Batch.create PaddingSide.Right (List.truncate 2 rows)
                  let theta = Reft.init small config (Rng.ofSeed 4L)
                  let f = Loss.reftSmooth small model batch |> Loss.ofVector theta
                  let v = Rng.normal [ theta.TrainableCount ] (Rng.ofSeed 8L)
                  let product = dsharp.hessianv f theta.Vector v
                  let step = 1e-2f

                  let difference =
                      (dsharp.grad f (theta.Vector + v * step)
                       - dsharp.grad f (theta.Vector - v * step))
                      / (2.0f * step)

                  Expect.isLessThan (relative product difference) 2e-2 "Hessian product and difference of gradients")
          }
          test "the fused loss refuses second derivatives instead of giving wrong ones" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let theta = Reft.init spec config (Rng.ofSeed 4L)

                  let f =
                      Loss.reft spec model (Batch.create PaddingSide.Right rows)
                      |> Loss.ofVector theta

                  let v = torch.ones_like theta.Vector

                  Expect.throwsC (fun () -> dsharp.hessianv f theta.Vector v |> ignore) (fun e ->
                      Expect.stringContains e.Message "Loss.reftSmooth" "message")

                  // Nothing is left behind for what is differentiated next on this thread.
                  let a = dsharp.tensor 3.0 |> Autograd.variable

                  Autograd.gradientsWith GraphUse.Record (dsharp.pow (a, 3.0)) [ a ] |> ignore

                  dsharp.grad f theta.Vector |> ignore)
          }
          test "a second run on a trained state has its own schedule" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let run state =
                      Fit.run fast (FitTask.create (Loss.reft spec model) rows) quiet CancellationToken.None state

                  let rates result =
                      result.History |> List.map (fun p -> p.Report.LearningRate)

                  let first = run (start ())
                  Expect.equal (rates (run first.State.Train)) (rates first) "learning rates")
          }
          test "a step that makes a parameter infinite is refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  Expect.throwsT<TrainingDivergedException>
                      (fun () ->
                          Trainer.step
                              (Trainer.options 1e39)
                              (Loss.reft spec model)
                              [| Batch.create PaddingSide.Right rows |]
                              (start ())
                          |> ignore)
                      "diverged")
          }
          test "an empty dataset, and rows without a scored token, are refused" {
              let refuses text examples =
                  Expect.throwsC (fun () -> fit fast examples CancellationToken.None |> ignore) (fun e ->
                      Expect.stringContains e.Message text "message")

              scoped (fun () ->
                  refuses "the dataset is empty" []

                  refuses
                      "example 1 has no scored token"
                      [ rows[0]; Example.ofLabels None [| 1; 2 |] [| -100; -100 |] ])
          }
          test "a loss that is not a number stops the run and leaves the state intact" {
              scoped (fun () ->
                  let state = start ()
                  let before = state.Theta.clone ()

                  let broken: Loss =
                      fun _ theta ->
                          theta.Vector.sum () * 0.0f
                          + nanf
                          + theta["layers.0.block_output.prefix.bias"].sum()

                  let batch = [| Batch.create PaddingSide.Right rows |]

                  Expect.throwsT<TrainingDivergedException>
                      (fun () -> Trainer.step (Trainer.options 1e-2) broken batch state |> ignore)
                      "diverged"

                  Expect.isTrue (before.equal(state.Theta).all().item<bool>()) "state")
          }
          test "a cancelled run gives the last state it reached" {
              scoped (fun () ->
                  use source = new CancellationTokenSource()
                  let model = create torch.float32 1L

                  let report (progress: FitProgress) _ =
                      if progress.Report.Step = 3 then
                          source.Cancel()

                  let result =
                      Fit.run fast (FitTask.create (Loss.reft spec model) rows) report source.Token (start ())

                  Expect.equal result.End FitEnd.Cancelled "cancelled"
                  Expect.equal result.State.Taken 3 "three steps"
                  Expect.isTrue (result.State.Train.Theta.isfinite().all().item<bool>()) "usable")
          }
          test "1,000 steps leave no tensor behind" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let loss = Loss.reft spec model
                  let batch = Batch.create PaddingSide.Right (List.truncate 2 rows)

                  let after count state =
                      Seq.replicate count batch |> Trainer.fit (Trainer.options 1e-3) loss state

                  // The managed heap and compiled code grow for a while, in which nothing leaks.
                  let warm = after 300 (start ())
                  let tensors, memory = Golden.liveTensors (), rss ()
                  let final = after 1000 warm
                  TrainState.dispose warm
                  Expect.equal Tensor.TotalCount tensors "live tensors"
                  Expect.isLessThan (rss () - memory) 20_000L "resident kilobytes grown"
                  TrainState.dispose final)
          } ]
