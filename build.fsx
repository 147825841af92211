// The build: `dotnet fsi build.fsx` lists the targets, `dotnet fsi build.fsx TARGET` runs one.
#r "nuget: System.Reactive, 5.0.0"
#r "nuget: FSharp.Control.Reactive, 4.4.2"
#r "nuget: Fake.Core.Target, 6.2.0"
#load "build/Shell.fsx"
#load "build/Npm.fsx"
#load "build/Packages.fsx"
#load "build/Vocabularies.fsx"
#load "build/Datasets.fsx"
#load "build/Tests.fsx"
#load "build/DocsCheck.fsx"
#load "build/PackCheck.fsx"

open System.IO
open Fake.Core
open Fake.Core.TargetOperators

Context.FakeExecutionContext.Create false "build.fsx" []
|> Context.RuntimeContext.Fake
|> Context.setExecutionContext

let build () =
    Shell.dotnet
        [ "build"
          "Reft.sln"
          "-c"
          "Release"
          "--no-restore"
          "--nologo"
          "-v"
          "q"
          "-m:1" ]

let mutable testSummary: Tests.Summary option = None

let test long =
    let summary = Tests.run long
    testSummary <- Some summary

    if summary.Failed > 0 then
        failwith $"{summary.Failed} tests failed"

let quickstart () =
    Shell.dotnet [ "run"; "--project"; "examples/Quickstart"; "-c"; "Release" ]

let private reproduction arguments =
    Shell.dotnet
        [ "run"
          "--project"
          "benchmarks/Reft.Reproduction"
          "-c"
          "Release"
          "--"
          yield! arguments ]

/// Runs that are done already are not done again, so that a stopped command goes on; a failed run leaves its cell empty.
let reproduce () =
    try
        reproduction [ "run"; "--scope"; "subset"; "--jobs"; "2" ]
    finally
        reproduction [ "report"; "--scope"; "subset" ]

/// The reproduction on invented rows, twice, since the second time nothing may be left to do; and its report.
let reproduceSmoke () =
    let results = Shell.emptyFolder "reproduction-smoke"

    let page = Path.Combine(results, "page.md")
    File.Copy(Shell.at "docs/reproduction.md", page)
    let settings = [ "--scope"; "smoke"; "--results"; results ]
    reproduction ("run" :: "--jobs" :: "2" :: settings)
    reproduction ("run" :: "--resumed" :: settings)
    reproduction ("report" :: "--page" :: page :: settings)

/// The page of the reproduction is what its file of results says: the tables are written anew from it and compared.
let reproducePage () =
    let results = "docs/reproduction/results.jsonl"
    let page = Path.Combine(Shell.emptyFolder "reproduction-page", "reproduction.md")
    File.Copy(Shell.at "docs/reproduction.md", page)
    reproduction [ "report"; "--from"; results; "--page"; page ]

    if File.ReadAllText page <> File.ReadAllText(Shell.at "docs/reproduction.md") then
        failwith
            $"docs/reproduction.md is not what {results} says: write it anew by `dotnet run -c Release --project benchmarks/Reft.Reproduction -- report --from {results}`"

let examples () =
    for script in Shell.filesIn "examples" "*.fsx" SearchOption.TopDirectoryOnly do
        printfn $"{script}"
        Shell.dotnet [ "fsi"; script ]

    for project in Shell.filesIn "examples" "*.csproj" SearchOption.AllDirectories do
        let text = File.ReadAllText(Shell.at project)

        // Scripts is a folder of assemblies; a program that needs arguments says so in its project.
        if
            text.Contains "<OutputType>Exe</OutputType>"
            && not (text.Contains "<ExampleNeedsArguments>true<")
        then
            printfn $"{project}"
            // They are built already, and to look at each again takes longer than some of them run.
            Shell.dotnet [ "run"; "--no-build"; "--project"; project; "-c"; "Release" ]

    reproduceSmoke ()
    reproducePage ()

let format () =
    Shell.dotnet [ "fantomas"; "src"; "tests"; "examples"; "benchmarks"; "build"; "build.fsx" ]
    Shell.dotnet [ "format"; "Reft.sln"; "--no-restore" ]

let formatCheck () =
    Shell.dotnet
        [ "fantomas"
          "--check"
          "src"
          "tests"
          "examples"
          "benchmarks"
          "build"
          "build.fsx" ]

    Shell.dotnet [ "format"; "Reft.sln"; "--no-restore"; "--verify-no-changes" ]

let bench () =
    Shell.dotnet
        [ "run"
          "--project"
          "benchmarks/Reft.Benchmarks"
          "-c"
          "Release"
          "--"
          "all" ]

/// Name, what it does, the targets that run before it, and its action.
let targets =
    [ "restore", "check the machine, then restore tools and packages", [], Packages.restore
      "update-packages", "resolve newer packages within the ranges and renew paket.lock", [], Packages.update
      "build", "compile everything in Release, warnings as errors", [ "restore" ], build
      "quickstart", "fine-tune the small model of this repository, in C#", [ "build" ], quickstart
      "test", "run all tests but those that take minutes", [ "build" ], (fun () -> test false)
      "test-long", "run all tests", [ "build" ], (fun () -> test true)
      "install-vocabularies", "install real vocabularies for test-long and bench, by npm", [], Vocabularies.install
      "format", "format F# and C# sources", [ "restore" ], format
      "format-check", "fail if a source is not formatted", [ "restore" ], formatCheck
      "examples", "run every example script and project", [ "build" ], examples
      "install-datasets", "install the data of the reproduction, by npm", [], Datasets.install
      "reproduce",
      "run the paper's experiments at small scale and write docs/reproduction.md",
      [ "build"; "install-datasets" ],
      reproduce
      "docs-check", "compile every code block of README.md and docs/", [ "build" ], DocsCheck.run
      "bench", "run all benchmarks", [ "build" ], bench
      "pack", "pack the packages and the tool, and check them as a user would", [ "build" ], PackCheck.run ]

for name, _, _, action in targets do
    Target.create name (fun _ -> action ())

for name, _, before, _ in targets do
    for earlier in before do
        earlier ==> name |> ignore

let list () =
    printfn "usage: dotnet fsi build.fsx TARGET"

    for name, description, _, _ in targets do
        printfn $"  %-16s{name} {description}"

let exitCode =
    match fsi.CommandLineArgs |> List.ofArray |> List.skip 1 with
    | []
    | [ "--help" ]
    | [ "-h" ] ->
        list ()
        0
    | [ name ] when targets |> List.exists (fun (known, _, _, _) -> known = name) ->
        try
            Target.run 1 name []
            0
        with error ->
            eprintfn $"{name} failed: {error.GetBaseException().Message}"
            1
    | arguments ->
        let line = String.concat " " arguments
        eprintfn $"unknown target: {line}"
        list ()
        2

// After FAKE's report, so that the result of the tests is the last line.
testSummary
|> Option.iter (fun summary -> printfn $"{summary.Passed} passed, {summary.Failed} failed")

exit exitCode
