/// A random checkpoint with the exact shape of Llama-2-7B in bf16, in shards: what loading, scoring and a LoReFT step take
/// with the weights as stored and as int8, each in a process of its own, and what the command line's `reft score` takes.
module Reft.Benchmarks.Scale

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open Reft.Core
open Reft.Benchmarks.Arguments

/// Bytes that a machine of the issue has.
let private limit = 24.0 * 1.073741824e3

let private header =
    [ "stage"
      "wall s"
      "CPU s"
      "read MB"
      "RssAnon MB"
      "RssFile MB"
      "RssShmem MB"
      "peak MB" ]

/// In a process of its own, so that no memory of the writer's is counted.
let private measure (options: Arguments) (folder: string) =
    let subject = Subject.llama7B ()
    let config = subject.Config
    let table = ResizeArray<string list>()
    let mutable most = 0.0

    let stage name (run: unit -> 'T) =
        let mutable result = Unchecked.defaultof<'T>
        let before = Machine.readFromDisk Environment.ProcessId
        let sample = Timing.once (fun () -> result <- run ())
        let read = Machine.readFromDisk Environment.ProcessId - before
        most <- max most (Machine.memory "RssAnon")

        table.Add
            [ name
              $"{sample.Wall:F2}"
              $"{sample.Cpu:F2}"
              $"{read:F0}"
              Table.memory "RssAnon"
              Table.memory "RssFile"
              Table.memory "RssShmem"
              Table.memory "VmHWM" ]

        result

    let weights =
        if options.Weights = [ "int8" ] then
            WeightFormat.Int8
        else
            WeightFormat.AsStored

    stage "libtorch started" ignore
    RandomCheckpoint.forget config folder

    let load () =
        Checkpoint.loadWith
            { Checkpoint.defaults () with
                Weights = weights }
            folder

    let loaded = stage "load, from the disk" load
    let row = Subject.batch config 1 128 128 true
    let score () = Score.logprobs [] loaded.Model row

    for name in [ "score 128 tokens, first time"; "score 128 tokens, again" ] do
        let logprobs = stage name score

        if logprobs |> Array.exists (Array.exists (Single.IsFinite >> not)) then
            invalidOp "the model's log-probabilities are not finite"

    let state = Subject.fresh subject.Spec config
    let batch = Subject.batch config 1 128 96 false
    let train = Subject.step (Loss.reft subject.Spec loaded.Model) state batch

    for number in 1..2 do
        stage $"LoReFT step {number}, 1 × 128" train

    let generated = 8

    stage
        $"generate {generated} tokens from 32, batch 1"
        (Decoding.complete generated [] loaded.Model (Subject.prompts config 1 32))

    let trainable, bytes = state.Layout.TrainableCount, loaded.WeightBytes
    TrainState.dispose state
    (loaded :> IDisposable).Dispose()

    printfn
        $"### scale, {options.Weights.Head}: {Subject.parameterCount config:N0} parameters, {float bytes / 1e6:N0} MB of weights; LoReFT of rank 8 on all layers, f7+l7, tied, {trainable:N0} trainable"

    Table.print header (List.ofSeq table)
    printfn $"Anonymous memory was at most {most:F0} MB after a stage, of {limit:F0} MB."
    printfn ""

/// A row of text of at least 128 tokens, and the tokenizer to read it: the one of this repository's model.
let private prepareRow (folder: string) : string =
    for file in [ "tokenizer.json"; "tokenizer_config.json" ] do
        File.Copy(Path.Combine(TopicTask.modelFolder (), file), Path.Combine(folder, file), true)

    let tokenizer = TokenizerFile.load folder

    let text =
        TopicTask.heldOut ()
        |> Seq.map (fun row -> row.Prompt.Replace("Sentence: ", "").Replace("\nAbout:", ""))
        |> Seq.scan (fun text sentence -> (text + " " + sentence).Trim()) ""
        |> Seq.find (fun text -> tokenizer.Encode(text, true).Length >= 128)

    let rows = Path.Combine(folder, "rows.jsonl")
    File.WriteAllText(rows, JsonSerializer.Serialize {| text = text |} + "\n")
    rows

let private removeRow (folder: string) =
    for file in [ "tokenizer.json"; "tokenizer_config.json"; "rows.jsonl" ] do
        File.Delete(Path.Combine(folder, file))

let private commandLine () =
    let program =
        Path.Combine(Machine.repository.Value, "src", "Reft.Cli", "bin", "Release", "net10.0", "reft.dll")

    if not (File.Exists program) then
        invalidOp $"{program} is missing: run `dotnet fsi build.fsx build` first"

    program

/// `reft score` as a user runs it; its memory is watched from here.
let private scoreByCommandLine (folder: string) (rows: string) (weights: string) : string list =
    RandomCheckpoint.forget (Subject.llama7B ()).Config folder

    let start =
        ProcessStartInfo("dotnet", UseShellExecute = false, RedirectStandardOutput = true)

    for argument in
        [ commandLine ()
          "score"
          "--model"
          folder
          "--input"
          rows
          "--weights"
          weights ] do
        start.ArgumentList.Add argument

    let clock = Stopwatch.StartNew()

    match Process.Start start with
    | null -> invalidOp "dotnet could not be started"
    | child ->
        use child = child
        let output = child.StandardOutput.ReadToEndAsync()
        let keys = [ "RssAnon"; "RssFile"; "RssShmem"; "VmHWM" ]
        let mutable most = keys |> List.map (fun _ -> 0.0)
        let mutable read = 0.0
        let mutable cpu = TimeSpan.Zero

        while not (child.WaitForExit 100) do
            let larger (a: float) (b: float) = if b > a then b else a
            most <- List.map2 larger most (keys |> List.map (Machine.memoryOf child.Id))
            read <- larger read (Machine.readFromDisk child.Id)

            // Nothing can be asked of a process that has ended meanwhile.
            try
                cpu <- child.TotalProcessorTime
            with :? InvalidOperationException ->
                ()

        if child.ExitCode <> 0 then
            invalidOp $"reft score ended with exit code {child.ExitCode}"

        let line = Array.head (output.Result.Split '\n')
        let shown = line.Replace("\t", ", ")

        [ $"reft score --weights {weights}: {shown}"
          $"{clock.Elapsed.TotalSeconds:F2}"
          $"{cpu.TotalSeconds:F2}"
          $"{read:F0}"
          yield! most |> List.map (fun value -> $"{value:F0}") ]

let run (options: Arguments) : int =
    Machine.start options.Threads

    match options.Child, options.Folder with
    | true, Some folder ->
        printfn $"{Machine.facts ()}"
        printfn ""
        measure options folder
        0
    | _ ->
        printfn "## scale"
        printfn ""

        RandomCheckpoint.using (Subject.llama7B ()).Config options.Folder options.Keep (fun folder ->
            // A smoke run is the command line alone.
            let codes =
                (if options.Quick then [] else options.Weights)
                |> List.map (fun weights ->
                    forChild
                        { options with
                            Folder = Some folder
                            Weights = [ weights ] }
                    |> Machine.child "scale")

            try
                let rows = prepareRow folder

                printfn "### the command line; memory is the most that was seen"

                options.Weights
                |> List.map (scoreByCommandLine folder rows)
                |> Table.print header
            finally
                removeRow folder

            List.fold max 0 codes)
