/// A random checkpoint with the exact shape of Llama-3.2-1B in bf16: loading, memory, scoring, generating, training.
module Reft.Benchmarks.Load

open System
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
    RandomCheckpoint.forget config folder
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

        RandomCheckpoint.using (Subject.llama1B ()).Config options.Folder options.Keep (fun folder ->
            forChild { options with Folder = Some folder } |> Machine.child "load")
