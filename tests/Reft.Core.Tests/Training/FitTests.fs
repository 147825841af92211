module Reft.Core.Tests.Training.FitTests

open System
open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests.TinyModel

let private spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)

let private start () =
    Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed 4L)

let private rows = examples 3L 2 [ 9; 6; 7; 8; 5; 9; 6; 8 ]

let private task () =
    FitTask.create (Loss.reft spec (create torch.float32 1L)) rows

let private options =
    { Fit.defaults with
        Epochs = 3
        BatchSize = 2
        LearningRate = 2e-2 }

let private fit options task =
    Fit.run options task (fun _ _ -> ()) CancellationToken.None (start ())

/// An evaluation that gives these values of a metric, one after another.
let private scripted (metric: string) (values: float list) (task: FitTask) =
    let remaining = System.Collections.Generic.Queue values

    task
    |> FitTask.evaluating (fun _ -> [ "loss", 1.0; metric, remaining.Dequeue() ])

let private by metric better patience =
    Some
        { Metric = metric
          Better = better
          MinDelta = 0.0
          Patience = patience }

let private same (a: Tensor) (b: Tensor) = a.equal(b).all().item<bool>()

/// The formulas of transformers.optimization, as they stand there.
let private theirs (shape: ScheduleShape) (warmup: int) (total: int) (step: int) =
    let current, warm, total = float step, float warmup, float total

    if current < warm then
        current / max 1.0 warm
    else
        match shape with
        | ScheduleShape.Constant -> 1.0
        | ScheduleShape.Linear -> max 0.0 ((total - current) / max 1.0 (total - warm))
        | ScheduleShape.Cosine ->
            let progress = (current - warm) / max 1.0 (total - warm)
            max 0.0 (0.5 * (1.0 + cos (Math.PI * 0.5 * 2.0 * progress)))
        | ScheduleShape.Polynomial power ->
            if current > total then
                0.0
            else
                (1.0 - (current - warm) / (total - warm)) ** power

[<Tests>]
let tests =
    testList
        "Runs"
        [ test "the schedules are transformers', after any warmup" {
              for shape in
                  [ ScheduleShape.Constant
                    ScheduleShape.Linear
                    ScheduleShape.Cosine
                    ScheduleShape.Polynomial 1.0
                    ScheduleShape.Polynomial 2.5 ] do
                  for warmup, total in [ 0, 20; 4, 20; 19, 20; 1, 7 ] do
                      let ours = Schedule.ofShape shape warmup total

                      for step in 0..total do
                          Expect.floatClose
                              { absolute = 1e-15; relative = 1e-12 }
                              (ours step)
                              (theirs shape warmup total step)
                              $"{shape}, {warmup} of {total}, step {step}"
          }
          test "warmup steps, and the number of steps, are those asked for" {
              scoped (fun () ->
                  let result =
                      fit
                          { options with
                              MaxSteps = Some 7
                              Warmup = Warmup.Steps 3
                              Schedule = ScheduleShape.Cosine }
                          (task ())

                  let rates = result.History |> List.map _.Report.LearningRate

                  Expect.equal
                      rates
                      [ for step in 0..6 -> 2e-2 * Schedule.ofShape ScheduleShape.Cosine 3 7 step ]
                      "7 steps, though 3 epochs are 12"

                  Expect.equal (List.last result.History).Epoch 1.75 "epochs"
                  FitState.dispose result.State)
          }
          test "batches that weigh the same give the mean of their means" {
              scoped (fun () ->
                  let loss = (task ()).Loss

                  let batches =
                      [| examples 3L 2 [ 9; 6 ]; examples 5L 4 [ 9 ] |]
                      |> Array.map (Batch.create PaddingSide.Right)

                  let value weighting =
                      let struct (report, state) =
                          Trainer.step
                              { Trainer.options 1e-2 with
                                  Weighting = weighting }
                              loss
                              batches
                              (start ())

                      TrainState.dispose state
                      report.Loss

                  let parameters = (start ()).Parameters
                  let means = batches |> Array.map (fun b -> Trainer.evaluate loss parameters [ b ])

                  Expect.floatClose Accuracy.high (value BatchWeighting.Equal) (Array.average means) "the same"

                  Expect.floatClose
                      Accuracy.high
                      (value BatchWeighting.ByTerms)
                      ((4.0 * means[0] + 4.0 * means[1]) / 8.0)
                      "by scored tokens, of which both have 4"

                  let uneven = [| batches[0]; Batch.create PaddingSide.Right (examples 5L 6 [ 9 ]) |]
                  let last = Trainer.evaluate loss parameters [ uneven[1] ]

                  let struct (report, state) =
                      Trainer.step (Trainer.options 1e-2) loss uneven (start ())

                  TrainState.dispose state
                  Expect.floatClose Accuracy.high report.Loss ((4.0 * means[0] + 6.0 * last) / 10.0) "4 and 6 tokens")
          }
          test "weight decay reaches W of LoReFT, and neither R nor b" {
              scoped (fun () ->
                  let run decay =
                      let result =
                          fit
                              { options with
                                  MaxSteps = Some 1
                                  Warmup = Warmup.Steps 0
                                  AdamW =
                                      { AdamW.defaults with
                                          WeightDecay = decay } }
                              (task ())

                      result.State.Parameters

                  let before = (start ()).Parameters
                  let plain, decayed = run 0.0, run 0.5
                  let changed = ResizeArray()

                  for p in plain.Entries do
                      if not (same p.Value decayed[p.Name]) then
                          changed.Add p.Name
                          let expected = p.Value - before[p.Name] * (2e-2f * 0.5f)
                          Expect.isLessThan (relative decayed[p.Name] expected) 1e-6 p.Name

                  let weights = before.Names |> List.filter (fun name -> name.EndsWith ".weight")

                  Expect.equal (List.ofSeq changed) weights "W alone"
                  Expect.equal weights.Length 4 "two layers, two groups"
                  Expect.equal before.Names.Length 12 "R and b beside each")
          }
          test "a step that is not finite changes nothing, and is counted" {
              scoped (fun () ->
                  let plain = (task ()).Loss
                  let mutable calls = 0

                  // The second batch and the third.
                  let sometimes: Loss =
                      fun batch theta ->
                          calls <- calls + 1
                          let loss = plain batch theta
                          if calls = 2 || calls = 3 then loss * nanf else loss

                  let seen = ResizeArray<Tensor * Tensor * Tensor>()

                  let report _ (state: FitState) =
                      seen.Add(
                          state.Train.Theta.clone().DetachFromDisposeScope(),
                          state.Train.Moments.First.clone().DetachFromDisposeScope(),
                          state.Train.Moments.Second.clone().DetachFromDisposeScope()
                      )

                  let options =
                      { options with
                          MaxSteps = Some 5
                          Warmup = Warmup.Steps 0
                          NonFinite = NonFinite.Skip 2 }

                  let result =
                      Fit.run options { task () with Loss = sometimes } report CancellationToken.None (start ())

                  Expect.equal
                      (result.History |> List.map _.Report.Skipped)
                      [ false; true; true; false; false ]
                      "which were skipped"

                  Expect.equal result.State.Train.Step 5 "all were counted"

                  for later in 1..2 do
                      let (a, b, c), (x, y, z) = seen[0], seen[later]
                      Expect.isTrue (same a x && same b y && same c z) $"after step {later + 1}"

                  let (a, _, _), (x, _, _) = seen[2], seen[3]
                  Expect.isFalse (same a x) "the fourth step learns again"

                  calls <- 0

                  Expect.throwsC
                      (fun () ->
                          fit
                              { options with
                                  NonFinite = NonFinite.Skip 1 }
                              { task () with Loss = sometimes }
                          |> ignore)
                      (fun e ->
                          Expect.stringContains e.Message "2 steps in a row" "message"
                          Expect.equal (e :?> TrainingDivergedException).Step 3 "the third step"))
          }
          test "what a report looks at holds no memory after it" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let counts = ResizeArray<int64>()

                  let report _ (state: FitState) =
                      state.Parameters.Vector.sum().item<float32>() |> ignore
                      counts.Add torch.Tensor.TotalCount

                  let result =
                      Fit.run
                          { Fit.defaults with
                              Epochs = 20
                              BatchSize = 4 }
                          (FitTask.create (Loss.reft spec model) rows)
                          report
                          CancellationToken.None
                          (start ())

                  Expect.equal counts[counts.Count - 1] counts[1] "live tensors after the last step and the second"
                  FitState.dispose result.State)
          }
          test "a run stops when a metric has not become better, and gives the best parameters" {
              scoped (fun () ->
                  let thetas = ResizeArray<Tensor>()

                  let report _ (state: FitState) =
                      thetas.Add(state.Train.Theta.clone().DetachFromDisposeScope())

                  let run better values minDelta =
                      thetas.Clear()

                      Fit.run
                          { options with
                              EvaluateEvery = Interval.Steps 2
                              Selection =
                                  by "score" better (Some 2)
                                  |> Option.map (fun s -> { s with MinDelta = minDelta }) }
                          (task () |> scripted "score" values)
                          report
                          CancellationToken.None
                          (start ())

                  let expectBest what (result: FitResult) taken best value =
                      Expect.equal result.End FitEnd.EarlyStopped $"{what}: end"
                      Expect.equal result.State.Taken taken $"{what}: steps"
                      let found = result.State.Best.Value
                      Expect.equal (found.Step, found.Value) (best, value) $"{what}: the best"
                      Expect.isTrue (same result.State.Parameters.Vector thetas[best - 1]) $"{what}: its parameters"
                      FitState.dispose result.State

                  expectBest "greater" (run Better.Higher [ 0.5; 0.7; 0.6; 0.7 ] 0.0) 8 4 0.7
                  expectBest "smaller" (run Better.Lower [ 0.5; 0.4; 0.41; 0.4 ] 0.0) 8 4 0.4
                  expectBest "by little" (run Better.Higher [ 0.5; 0.54; 0.55 ] 0.1) 6 2 0.5
                  expectBest "NaN is never better" (run Better.Higher [ nan; 0.1; nan; nan ] 0.0) 8 4 0.1)
          }
          test "evaluations come when they are asked for, and at the end" {
              scoped (fun () ->
                  let evaluated interval =
                      let result =
                          fit
                              { options with
                                  EvaluateEvery = interval }
                              (task () |> scripted "score" (List.replicate 12 0.0))

                      FitState.dispose result.State

                      result.History
                      |> List.filter (fun p -> not p.Evaluation.IsEmpty)
                      |> List.map _.Taken

                  Expect.equal (evaluated (Interval.Steps 5)) [ 5; 10; 12 ] "steps"
                  Expect.equal (evaluated (Interval.Epochs 1)) [ 4; 8; 12 ] "epochs"
                  Expect.equal (evaluated (Interval.Epochs 2)) [ 8; 12 ] "two epochs")
          }
          test "an evaluation changes nothing about the steps" {
              scoped (fun () ->
                  let dropping =
                      dropout 0.2 (loreft 2) |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)

                  let run evaluate =
                      let plain = FitTask.create (Loss.reft dropping (create torch.float32 1L)) rows

                      let result =
                          fit
                              { options with
                                  EvaluateEvery = Interval.Steps 1 }
                              (if evaluate then
                                   plain |> FitTask.holdingOut PaddingSide.Right 3 (Array.ofList rows)
                               else
                                   plain)

                      result.History |> List.map _.Report.Loss

                  Expect.equal (run true) (run false) "losses")
          }
          test "a metric that no evaluation gives is refused by name" {
              scoped (fun () ->
                  let run task =
                      fit
                          { options with
                              Selection = by "f1" Better.Higher None }
                          task
                      |> ignore

                  Expect.throwsC (fun () -> run (task () |> scripted "score" [ 0.0 ])) (fun e ->
                      Expect.stringContains e.Message "expected one of loss, score" "message")

                  Expect.throwsC (fun () -> run (task ())) (fun e ->
                      Expect.stringContains e.Message "hold out examples" "message"))
          } ]
