/// The packages of this repository: what a restore needs, and how the lock is renewed.
module Packages

#load "Shell.fsx"

open System
open System.IO
open System.Text.RegularExpressions

let private feedVariable = "NUGET_FEED"

/// Free space that packages, build outputs and packed files need together, measured: 1.1 + 0.1 + 1.2 GB.
let private neededDisk = 3_000_000_000L

let private cache () =
    match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
    | null
    | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
    | folder -> folder

/// No registry stands in this repository: Paket expands %NUGET_FEED%, by default the first source that NuGet itself
/// is configured with, so that the build also works behind a mirror.
let setFeed () =
    if String.IsNullOrEmpty(Environment.GetEnvironmentVariable feedVariable) then
        let _, sources =
            Shell.capture Shell.root "dotnet" [ "nuget"; "list"; "source"; "--format"; "short" ]

        match Regex.Match(sources, @"^E\w*\s+(\S+)", RegexOptions.Multiline) with
        | m when m.Success -> Environment.SetEnvironmentVariable(feedVariable, m.Groups[1].Value)
        | _ ->
            failwith
                $"NuGet has no enabled package source. Add one (`dotnet nuget add source`) or set {feedVariable} to the address of a NuGet v3 feed."

let private checkSdk () =
    let code, version = Shell.capture Shell.root "dotnet" [ "--version" ]

    if code <> 0 || not (version.StartsWith "10.") then
        failwith
            $"This repository builds with the .NET SDK 10 (see global.json); `dotnet --version` says '{version.Trim()}'. Install the SDK 10.0.100 or a later 10.0 feature band."

let private checkDisk () =
    let free = DriveInfo(Shell.root).AvailableFreeSpace

    if free < neededDisk then
        failwith
            $"{free / 1_000_000L} MB are free at {Shell.root}; packages, build outputs and packed files need about {neededDisk / 1_000_000L} MB."

/// Megabytes that a restore downloads into an empty cache, measured: libtorch, what draws the quickstarts' pictures, then
/// all others. The unpacked cache takes 1.1 GB.
let private libtorchMegabytes, picturesMegabytes, othersMegabytes = 130, 83, 50

let private sayDownload () =
    let have (package: string) =
        Directory.Exists(Path.Combine(cache (), package))

    let megabytes =
        [ if not (have "libtorch-cpu-linux-x64") then
              libtorchMegabytes
          if not (have "scottplot") then
              picturesMegabytes
          if not (have "torchsharp") then
              othersMegabytes ]
        |> List.sum

    match megabytes with
    | 0 ->
        printfn "Restoring packages: libtorch and TorchSharp are in the package cache, little or nothing to download."
    | n -> printfn $"Restoring packages: about {n} MB to download into {cache ()}."

let private projects () =
    Shell.filesIn "." "*.?sproj" SearchOption.AllDirectories

/// Written after a restore. A restore that has nothing to do still costs half a minute, so it is skipped while nothing
/// that it reads is newer.
let private stamp = Shell.at "paket-files/reft.restored"

let private isRestored () =
    let inputs =
        [ "paket.lock"
          "paket.dependencies"
          "dotnet-tools.json"
          "global.json"
          "Reft.sln" ]
        @ Shell.filesIn "." "Directory.Build.*" SearchOption.TopDirectoryOnly
        @ Shell.filesIn "." "paket.references" SearchOption.AllDirectories
        @ projects ()

    let isOutputThere (project: string) =
        let folder = Path.GetDirectoryName(Shell.at project) |> string
        File.Exists(Path.Combine(folder, "obj", "project.assets.json"))

    File.Exists stamp
    && Directory.Exists(Path.Combine(cache (), "torchsharp"))
    && inputs
       |> List.forall (fun file -> File.GetLastWriteTimeUtc(Shell.at file) < File.GetLastWriteTimeUtc stamp)
    && projects () |> List.forall isOutputThere

/// Checks the machine, then restores tools and packages. Leaves the lock and the projects untouched.
let restore () =
    checkSdk ()
    checkDisk ()
    setFeed ()

    if isRestored () then
        printfn "The packages are restored and nothing they depend on has changed."
    else
        sayDownload ()
        Shell.dotnet [ "tool"; "restore" ]
        Shell.dotnet [ "paket"; "restore" ]
        Shell.dotnet [ "restore"; "Reft.sln"; "-v"; "q"; "-m:1" ]
        File.WriteAllText(stamp, "")

/// Resolves newer versions within the ranges of paket.dependencies. Paket writes the feed's address into the lock and
/// strips the Condition from each project's import of its targets; both are undone here.
let update () =
    setFeed ()
    let feed = Environment.GetEnvironmentVariable feedVariable |> string
    let lock = Shell.at "paket.lock"

    let before =
        projects () |> List.map (fun file -> file, File.ReadAllBytes(Shell.at file))

    // A first resolve misses dependencies that the feed's metadata leaves out and finds them in the downloaded packages.
    let rec untilStable attempt =
        let resolved = File.ReadAllText lock
        Shell.dotnet [ "paket"; (if attempt = 1 then "update" else "install") ]

        if attempt < 4 && File.ReadAllText lock <> resolved then
            untilStable (attempt + 1)

    try
        untilStable 1
    finally
        for file, content in before do
            File.WriteAllBytes(Shell.at file, content)

        let text =
            File.ReadAllText(lock).Replace("\r\n", "\n").Replace(feed, "%NUGET_FEED%").TrimEnd()

        File.WriteAllText(lock, text + "\n")
