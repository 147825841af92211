/// Runs programs from the root of the repository and stops the build when one fails.
module Shell

open System
open System.Diagnostics
open System.IO

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))

let at (relative: string) = Path.Combine(root, relative)

let private start
    (folder: string)
    (captured: bool)
    (environment: (string * string) list)
    (program: string)
    (arguments: string list)
    =
    let info =
        ProcessStartInfo(program, arguments, WorkingDirectory = folder, RedirectStandardOutput = captured)

    // No compiler or build server outlives the command that needed it.
    for name, value in
        [ "MSBUILDDISABLENODEREUSE", "1"
          "UseSharedCompilation", "false"
          yield! environment ] do
        info.Environment[name] <- value

    match Process.Start info with
    | null -> failwith $"{program} could not be started"
    | started -> started

/// The exit code of a program that runs in a folder, with these environment variables on top of ours.
let runIn (folder: string) environment program arguments =
    use started = start folder false environment program arguments
    started.WaitForExit()
    started.ExitCode

/// Runs a program in the root and fails, naming the command, unless it exits with 0.
let run program (arguments: string list) =
    match runIn root [] program arguments with
    | 0 -> ()
    | code ->
        let line = String.concat " " (program :: arguments)
        failwith $"exit code {code} from: {line}"

let dotnet arguments = run "dotnet" arguments

/// What a program writes to stdout, with its exit code.
let capture (folder: string) program arguments =
    use started = start folder true [] program arguments
    let output = started.StandardOutput.ReadToEnd()
    started.WaitForExit()
    started.ExitCode, output

/// An empty folder under artifacts/ (which git ignores).
let emptyFolder (relative: string) =
    let folder = at (Path.Combine("artifacts", relative))

    if Directory.Exists folder then
        Directory.Delete(folder, true)

    Directory.CreateDirectory folder |> ignore
    folder

/// Paths relative to the root of the files in a folder that match a pattern, sorted; none if the folder does not exist.
let filesIn (folder: string) (pattern: string) (depth: SearchOption) =
    if Directory.Exists(at folder) then
        Directory.GetFiles(at folder, pattern, depth)
        |> Array.map (fun file -> Path.GetRelativePath(root, file).Replace('\\', '/'))
        |> Array.filter (fun file ->
            file.Split '/'
            |> Array.forall (fun part -> part <> "bin" && part <> "obj" && part <> "artifacts"))
        |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
        |> List.ofArray
    else
        []
