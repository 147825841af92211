/// What the figures were measured on, and what the process holds.
module Reft.Benchmarks.Machine

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open TorchSharp
open Reft.Core

let private field (path: string) (key: string) =
    try
        File.ReadLines path
        |> Seq.tryFind (fun line -> line.StartsWith(key, StringComparison.Ordinal))
        |> Option.map (fun line -> line.Substring(line.IndexOf ':' + 1).Trim())
    with :? IOException ->
        None

/// Starts libtorch with a number of threads.
let start (threads: int) : unit =
    Native.load ()
    torch.set_num_threads threads

/// One line of facts, printed above every set of figures.
let facts () : string =
    let processor =
        field "/proc/cpuinfo" "model name" |> Option.defaultValue "unknown processor"

    let memory =
        field "/proc/meminfo" "MemTotal"
        |> Option.map (fun text -> $"{float (text.Split(' ')[0]) / 1048576.0:F0} GiB")
        |> Option.defaultValue "unknown memory"

    let load =
        try
            (File.ReadAllText "/proc/loadavg").Split(' ')[0]
        with :? IOException ->
            "unknown"

    $"{processor}, {Environment.ProcessorCount} logical processors, {memory}; libtorch {torch.__version__} with {torch.get_num_threads ()} threads; {RuntimeInformation.FrameworkDescription}; load before the run {load}"

/// A line of /proc/self/status in MB (10⁶ bytes): VmRSS, VmHWM (its peak), RssAnon, RssFile. NaN where there is none.
let memory (key: string) : float =
    match field "/proc/self/status" (key + ":") with
    | Some text -> float (text.Split(' ')[0]) * 1024.0 / 1e6
    | None -> nan

/// A line of the status of a process in MB; see `memory`.
let memoryOf (id: int) (key: string) : float =
    match field $"/proc/{id}/status" (key + ":") with
    | Some text -> float (text.Split(' ')[0]) * 1024.0 / 1e6
    | None -> nan

/// What a process has had read from the disk so far, in MB, by mapped pages too. NaN where the system does not say.
let readFromDisk (id: int) : float =
    try
        match field $"/proc/{id}/io" "read_bytes:" with
        | Some text -> float text / 1e6
        | None -> nan
    with :? UnauthorizedAccessException ->
        nan

/// The folder of this repository, found upwards from the program.
let repository: Lazy<string> =
    lazy
        (let rec up (folder: string | null) =
            match folder with
            | null -> invalidOp $"no folder above {AppContext.BaseDirectory} holds models/base-3.8m"
            | folder when Directory.Exists(Path.Combine(folder, "models", "base-3.8m")) -> folder
            | folder -> up (Path.GetDirectoryName folder)

         up AppContext.BaseDirectory)

/// Lets go of what only the runtime's collector holds, so that two readings of memory compare what is alive.
let settle () : unit =
    GC.Collect()
    GC.WaitForPendingFinalizers()
    GC.Collect()

let private again (command: string) (arguments: string list) =
    let self =
        match Environment.ProcessPath with
        | null -> invalidOp "the path of this program is unknown, so that it cannot start itself again"
        | path -> path

    let start = ProcessStartInfo(self, UseShellExecute = false)

    // `dotnet Reft.Benchmarks.dll`: the program is the host's first argument.
    if Path.GetFileNameWithoutExtension self = "dotnet" then
        start.ArgumentList.Add(Environment.GetCommandLineArgs()[0])

    for argument in command :: arguments do
        start.ArgumentList.Add argument

    start

let private started (start: ProcessStartInfo) =
    match Process.Start start with
    | null -> invalidOp $"{start.FileName} could not be started"
    | child -> child

/// Runs this program again, as a process of its own whose memory is seen alone; its output is this one's.
let child (command: string) (arguments: string list) : int =
    use child = again command arguments |> started
    child.WaitForExit()
    child.ExitCode

/// The same, and what it printed.
let childOutput (command: string) (arguments: string list) : string =
    let start = again command arguments
    start.RedirectStandardOutput <- true
    use child = started start
    let output = child.StandardOutput.ReadToEnd()
    child.WaitForExit()

    if child.ExitCode <> 0 then
        let all = String.Join(' ', arguments)
        invalidOp $"a measuring process ended with {child.ExitCode}: {command} {all}"

    output
