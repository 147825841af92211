module Reft.Core.Tests.Training.TrainingCheckpointTests

open System
open System.IO
open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private spec =
    dropout 0.2 (loreft 2) |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)

let private start seed =
    Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed seed)

let private rows = examples 3L 2 [ 9; 6; 7; 8; 5; 9; 6; 8 ]
let private heldOut = examples 7L 2 [ 7; 8; 6 ] |> Array.ofList

let private options =
    { Fit.defaults with
        Epochs = 4
        BatchSize = 2
        Accumulate = 2
        LearningRate = 5e-2
        Schedule = ScheduleShape.Cosine
        AdamW =
            { AdamW.defaults with
                WeightDecay = 0.1 }
        EvaluateEvery = Interval.Steps 1
        Selection =
            Some
                { Metric = "loss"
                  Better = Better.Lower
                  MinDelta = 1e-3
                  Patience = Some 3 } }

let private total = 8

let private taskOf rows =
    FitTask.create (Loss.reft spec (create torch.float32 1L)) rows
    |> FitTask.holdingOut PaddingSide.Right 2 heldOut

let private checkpoints folder resume options task start : RunCheckpoints =
    { Folder = folder
      Every = 1
      Keep = 2
      Resume = resume
      Identity = RunFacts.ofRun "a tiny model, Float32" spec options task start
      Environment = RunFacts.environment torch.CPU }

/// A run that is cancelled after a step; all of it where that is none of its steps.
let private runWith options rows seed folder resume stop =
    use source = new CancellationTokenSource()
    let task = taskOf rows
    let start = start seed

    let report (step: RecordedStep) _ =
        if step.Progress.Taken = stop then
            source.Cancel()

    CheckpointedFit.run
        (Some(checkpoints folder resume options task start))
        options
        task
        (fun _ _ -> ())
        report
        source.Token
        start

let private run folder resume stop =
    runWith options rows 4L folder resume stop

let private never = 0

let private bits (tensor: Tensor) =
    tensor.data<float32>().ToArray() |> Array.map BitConverter.SingleToInt32Bits

let private facts (result: RecordedFit) =
    [ for step in result.Steps -> step.Progress, BitConverter.DoubleToInt64Bits step.Progress.Report.Loss ],
    bits result.State.Train.Theta,
    bits result.State.Train.Moments.First,
    bits result.State.Train.Moments.Second,
    result.State.Best
    |> Option.map (fun best -> best.Step, best.Value, bits best.Theta),
    result.State.Stale,
    result.End

let private names folder =
    CheckpointFolder.list folder |> List.map fst

let private inFolder body =
    scoped (fun () -> Golden.inTemporaryFolder body)

let private refuses<'error when 'error :> exn> (parts: string list) (body: unit -> unit) =
    Expect.throwsC body (fun e ->
        Expect.isTrue (e :? 'error) $"expected a {typeof<'error>.Name}, found {e}"

        for part in parts do
            Expect.stringContains e.Message part "message")

/// A file with one byte changed.
let private damage (path: string) (offset: int64) =
    use stream = new FileStream(path, FileMode.Open, FileAccess.ReadWrite)

    let position = if offset < 0L then stream.Length + offset else offset

    stream.Position <- position
    let found = stream.ReadByte()
    stream.Position <- position
    stream.WriteByte(byte (found ^^^ 1))

[<Tests>]
let tests =
    testList
        "Training checkpoints"
        [ test "a run that goes on, from any step, is the unbroken run bit for bit" {
              inFolder (fun folder ->
                  let whole = run (Path.Combine(folder, "whole")) false never
                  Expect.equal whole.Steps.Length total "steps"
                  Expect.isSome whole.State.Best "a best evaluation"

                  for stop in 1 .. total - 1 do
                      let folder = Path.Combine(folder, string stop)
                      let broken = run folder false stop
                      Expect.equal broken.End FitEnd.Cancelled "cancelled"
                      FitState.dispose broken.State
                      let resumed = run folder true never
                      Expect.equal resumed.Resumed.Value.Taken stop "where it went on"
                      Expect.equal resumed.Resumed.Value.Warnings [] "warnings"
                      Expect.equal (facts resumed) (facts whole) $"after step {stop}"
                      FitState.dispose resumed.State

                  // Broken off after every single step.
                  let folder = Path.Combine(folder, "each")

                  for stop in 1 .. total - 1 do
                      FitState.dispose (run folder true stop).State

                  Expect.equal (facts (run folder true never)) (facts whole) "after every step"
                  FitState.dispose whole.State)
          }
          test "a run that stopped early goes on to the same end" {
              inFolder (fun folder ->
                  // A rate at which it soon gets worse.
                  let options =
                      { options with
                          LearningRate = 1.0
                          Epochs = 20 }

                  let whole = runWith options rows 4L (Path.Combine(folder, "a")) false never
                  Expect.equal whole.End FitEnd.EarlyStopped "end"

                  let broken =
                      runWith options rows 4L (Path.Combine(folder, "b")) false (whole.Steps.Length - 1)

                  FitState.dispose broken.State
                  let resumed = runWith options rows 4L (Path.Combine(folder, "b")) true never
                  Expect.equal (facts resumed) (facts whole) "the same"
                  let again = runWith options rows 4L (Path.Combine(folder, "b")) true never
                  Expect.isTrue again.Resumed.Value.Ended "nothing is left to do"
                  Expect.equal (facts again) (facts whole) "its result, without a step")
          }
          test "the newest ones stay, and what a killed process left goes" {
              inFolder (fun folder ->
                  File.WriteAllText(Path.Combine(folder, $".{Guid.NewGuid():N}.tmp"), "half a checkpoint")
                  File.WriteAllText(Path.Combine(folder, "notes.txt"), "mine")
                  run folder true 5 |> _.State |> FitState.dispose
                  Expect.equal (names folder) [ 5; 4 ] "two"

                  Expect.equal
                      (Directory.GetFiles folder |> Array.map Path.GetFileName |> Array.sort)
                      [| "checkpoint-00000004.safetensors"
                         "checkpoint-00000005.safetensors"
                         "notes.txt" |]
                      "files")
          }
          test "a run that was broken off is not overwritten, one that ended is" {
              inFolder (fun folder ->
                  run folder false 3 |> _.State |> FitState.dispose

                  refuses<IOException> [ folder; "broken off after step 3 of 8"; "--resume" ] (fun () ->
                      run folder false never |> ignore)

                  Expect.equal (names folder) [ 3; 2 ] "they are still there"
                  run folder true never |> _.State |> FitState.dispose
                  run folder false 1 |> _.State |> FitState.dispose
                  Expect.equal (names folder) [ 1 ] "replaced")
          }
          test "a damaged checkpoint is left aside for the one before it, and that is said" {
              inFolder (fun folder ->
                  let whole = run (Path.Combine(folder, "whole")) false never

                  let size =
                      FileInfo(snd (CheckpointFolder.list (Path.Combine(folder, "whole"))).Head).Length

                  let harms: (string * (string -> unit)) list =
                      [ "the last byte of a tensor", (fun path -> damage path -1L)
                        "a byte of the metadata", (fun path -> damage path 100L)
                        "the length of the header", (fun path -> damage path 1L)
                        "a byte in the middle", (fun path -> damage path (size / 2L))
                        "cut", (fun path -> File.WriteAllBytes(path, (File.ReadAllBytes path)[.. int size / 2]))
                        "empty", (fun path -> File.WriteAllBytes(path, [||])) ]

                  for what, harm in harms do
                      let folder = Path.Combine(folder, what)
                      run folder false 4 |> _.State |> FitState.dispose
                      harm (snd (CheckpointFolder.list folder).Head)
                      let resumed = run folder true never
                      Expect.equal resumed.Resumed.Value.Taken 3 $"{what}: from the one before"

                      match resumed.Resumed.Value.Warnings with
                      | [ warning ] -> Expect.stringContains warning "checkpoint-00000004.safetensors" what
                      | warnings -> failtest $"{what}: expected one warning, found {warnings}"

                      Expect.equal (facts resumed) (facts whole) what
                      FitState.dispose resumed.State

                  run (Path.Combine(folder, "all")) false 4 |> _.State |> FitState.dispose

                  for _, path in CheckpointFolder.list (Path.Combine(folder, "all")) do
                      damage path -1L

                  refuses<InvalidDataException> [ "no checkpoint"; "checkpoint-00000003"; "is damaged" ] (fun () ->
                      run (Path.Combine(folder, "all")) true never |> ignore))
          }
          test "every byte of a checkpoint counts" {
              inFolder (fun folder ->
                  run folder false 2 |> _.State |> FitState.dispose
                  let path = snd (CheckpointFolder.list folder).Head
                  let bytes = File.ReadAllBytes path
                  let other = Path.Combine(folder, "other.safetensors")

                  for offset in 0..17 .. bytes.Length - 1 do
                      let changed = Array.copy bytes
                      changed[offset] <- changed[offset] ^^^ 4uy
                      File.WriteAllBytes(other, changed)

                      Expect.throwsT<InvalidDataException>
                          (fun () -> TrainingCheckpoint.summarize other |> ignore)
                          $"byte {offset}")
          }
          test "a checkpoint of another run is refused, with what differs" {
              inFolder (fun folder ->
                  run folder false 2 |> _.State |> FitState.dispose

                  let refuses parts options rows seed =
                      refuses<InvalidDataException> ("is of another run" :: parts) (fun () ->
                          runWith options rows seed folder true never |> ignore)

                  refuses
                      [ "LearningRate: 0.05 in the checkpoint, 0.01 here" ]
                      { options with LearningRate = 1e-2 }
                      rows
                      4L

                  refuses [ "Data: 8 rows"; "7 rows" ] options rows.Tail 4L

                  let other =
                      { rows.Head with
                          Prompt = rows.Head.Prompt - 1 }
                      :: rows.Tail

                  refuses [ "Data: 8 rows, sha256" ] options other 4L
                  refuses [ "Random stream" ] options rows 5L

                  let task, begun = taskOf rows, start 4L
                  let here = checkpoints folder true options task begun

                  let foreign parts identity =
                      Expect.throwsC (fun () -> CheckpointFolder.newest identity begun folder |> ignore) (fun e ->
                          for part in parts do
                              Expect.stringContains e.Message part "message")

                  foreign
                      [ "Model: a tiny model, Float32 in the checkpoint, another, Float32 here" ]
                      (RunFacts.ofRun "another, Float32" spec options task begun)

                  let wider = loreft 3 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)

                  foreign
                      [ "Interventions: "; "Parameters: "; "[16×2]"; "[16×3]" ]
                      (RunFacts.ofRun
                          "a tiny model, Float32"
                          wider
                          options
                          task
                          (Reft.init wider config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed 4L)))

                  CheckpointFolder.newest here.Identity begun folder
                  |> Option.get
                  |> fun found -> FitState.dispose found.Checkpoint.State)
          }
          test "another machine is a warning" {
              inFolder (fun folder ->
                  run folder false 2 |> _.State |> FitState.dispose
                  let task, start = taskOf rows, start 4L

                  let here = checkpoints folder true options task start

                  let result =
                      CheckpointedFit.run
                          (Some
                              { here with
                                  Environment =
                                      here.Environment
                                      |> List.map (fun (name, value) ->
                                          name, (if name = "threads" then "64" else value)) })
                          options
                          task
                          (fun _ _ -> ())
                          (fun _ _ -> ())
                          CancellationToken.None
                          start

                  match result.Resumed.Value.Warnings with
                  | [ warning ] ->
                      let threads = here.Environment |> List.find (fst >> (=) "threads") |> snd
                      Expect.stringContains warning $"threads: {threads} in the checkpoint, 64 here" "warning"
                  | warnings -> failtest $"expected one warning, found {warnings}"

                  FitState.dispose result.State)
          }
          test "what cannot be run touches no checkpoint" {
              inFolder (fun folder ->
                  run folder false never |> _.State |> FitState.dispose

                  refuses<ArgumentException> [ "Epochs" ] (fun () ->
                      runWith { options with Epochs = 0 } rows 4L folder false never |> ignore)

                  Expect.equal (names folder) [ 8; 7 ] "they are still there")
          }
          test "saving and going on leave no tensor behind" {
              inFolder (fun folder ->
                  let once name =
                      let folder = Path.Combine(folder, name)
                      use _ = torch.NewDisposeScope()
                      run folder false 3 |> _.State |> FitState.dispose
                      run folder true never |> _.State |> FitState.dispose

                  once "warm"
                  let before = Golden.liveTensors ()
                  once "again"
                  Expect.equal (Golden.liveTensors ()) before "live tensors")
          } ]
