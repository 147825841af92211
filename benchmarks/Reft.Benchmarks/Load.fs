/// A random checkpoint with the exact shape of Llama-3.2-1B in bf16: loading, memory, scoring, generating, training.
module Reft.Benchmarks.Load

open System
open System.IO
open TorchSharp
open Reft.Core
open Reft.Benchmarks.Arguments
open Reft.Benchmarks.Subject

let private rows, length, prompt = 2, 64, 48

/// In a process of its own, so that no memory of the writer's is counted.
let private measure (options: Arguments) (folder: string) =
    let subject = Subject.llama1B ()
    let config = subject.Config
    let table = ResizeArray<string list>()

    // Each stage with the memory after it: RssAnon is the process's own, RssFile is mapped files, which the system can drop.
    let stage name (run: unit -> 'T) =
        let mutable result = Unchecked.defaultof<'T>
        let sample = Timing.once (fun () -> result <- run ())

        table.Add
            [ name
              $"{sample.Wall:F2}"
              $"{sample.Cpu:F2}"
              Table.memory "RssAnon"
              Table.memory "RssFile"
              Table.memory "VmHWM" ]

        result

    stage "libtorch started" ignore
    RandomCheckpoint.forget folder
    let loaded = stage "load, from the disk" (fun () -> Checkpoint.load folder)
    let model = loaded.Model
    let row = Subject.batch config 1 128 128 true

    for name in [ "score 128 tokens, first time"; "score 128 tokens, again" ] do
        stage name (fun () -> Score.logprobs [] model row |> ignore)

    (stage "load again, from memory" (fun () -> Checkpoint.load folder) :> IDisposable).Dispose()
    let generated = 16

    stage $"generate {generated} tokens from 32, batch 1" (Decoding.complete generated [] model (prompts config 1 32))
    let state = fresh subject.Spec config
    let batch = Subject.batch config rows length prompt false
    let train = step (Loss.reft subject.Spec model) state batch

    for number in 1..3 do
        stage $"LoReFT step {number}, batch {rows} × {length}" train

    TrainState.dispose state
    (loaded :> IDisposable).Dispose()

    printfn
        $"### load, bf16: the shape of Llama-3.2-1B, {Subject.parameterCount config:N0} parameters, {float (RandomCheckpoint.bytes config) / 1e6:F0} MB of weights; LoReFT of rank 4 on all layers, f7+l7, {state.Layout.TrainableCount:N0} trainable"

    Table.print [ "stage"; "wall s"; "CPU s"; "RssAnon MB"; "RssFile MB"; "peak MB" ] (List.ofSeq table)

let private requireSpace (folder: string) needed =
    let free = DriveInfo(Path.GetFullPath folder).AvailableFreeSpace

    if free < needed + needed / 10L then
        invalidOp
            $"{folder}: the checkpoint needs {float needed / 1e9:F1} GB, and {float free / 1e9:F1} GB are free: give another folder with --folder"

let private withCheckpoint (options: Arguments) (body: string -> int) =
    let config = (Subject.llama1B ()).Config

    let folder =
        match options.Folder with
        | Some folder -> Path.GetFullPath folder
        | None -> Directory.CreateTempSubdirectory("reft-load-").FullName

    Directory.CreateDirectory folder |> ignore
    let found = RandomCheckpoint.exists folder

    try
        if not found then
            requireSpace folder (RandomCheckpoint.bytes config)
            let written = Timing.once (fun () -> RandomCheckpoint.write config folder)
            printfn $"The checkpoint was written in {written.Wall:F0} s."
            printfn ""

        body folder
    finally
        // One that was there before is not this run's to remove.
        if options.Keep then
            printfn $"The checkpoint is in {folder}."
        elif not found then
            RandomCheckpoint.remove folder

let run (options: Arguments) : int =
    Machine.start options.Threads

    match options.Child, options.Folder with
    | true, Some folder ->
        printfn $"{Machine.facts ()}"
        printfn ""
        measure options folder
        0
    | _ ->
        printfn "## load"
        printfn ""

        withCheckpoint options (fun folder -> forChild { options with Folder = Some folder } |> Machine.child "load")
