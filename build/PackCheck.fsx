/// Packs the packages and the tool, and looks at them as a user would find them.
module PackCheck

#load "Shell.fsx"

open System
open System.IO
open System.IO.Compression
open System.Xml.Linq

type Package =
    { Id: string
      Version: string
      Entries: string list
      Nuspec: XElement }

let private check claim holds =
    if not holds then
        failwith $"package check failed: {claim}"

let private open' (file: string) =
    use zip = ZipFile.OpenRead file
    let entry = zip.Entries |> Seq.find (fun entry -> entry.FullName.EndsWith ".nuspec")
    use stream = entry.Open()
    let nuspec = XElement.Load stream

    let value name =
        nuspec.Descendants() |> Seq.find (fun e -> e.Name.LocalName = name) |> _.Value

    { Id = value "id"
      Version = value "version"
      Entries = zip.Entries |> Seq.map _.FullName |> List.ofSeq
      Nuspec = nuspec }

let private elements name (package: Package) =
    package.Nuspec.Descendants()
    |> Seq.filter (fun e -> e.Name.LocalName = name)
    |> List.ofSeq

let private text name package =
    elements name package
    |> List.tryHead
    |> Option.map _.Value
    |> Option.defaultValue ""

/// Every dependency with its range, without those that only a build needs.
let private dependencies package =
    elements "dependency" package
    |> List.map (fun e ->
        (e.Attribute(XName.Get "id")).Value, (e.Attribute(XName.Get "version")).Value.Replace(" ", ""))
    |> Map.ofList

let private checkMetadata package =
    check $"{package.Id} has the licence expression Apache-2.0" (text "license" package = "Apache-2.0")
    check $"{package.Id} names its authors" (text "authors" package = "Reft contributors")
    check $"{package.Id} has a description" ((text "description" package).Length > 40)
    check $"{package.Id} has tags" (text "tags" package <> "")

    check
        $"{package.Id} holds README.md"
        (List.contains "README.md" package.Entries && text "readme" package = "README.md")

    check $"{package.Id} holds LICENSE" (List.contains "LICENSE" package.Entries)

let private checkLibrary (folder: string) expected package =
    checkMetadata package
    let assembly = $"lib/net10.0/{package.Id}"
    check $"{package.Id} holds {assembly}.dll" (List.contains (assembly + ".dll") package.Entries)
    check $"{package.Id} holds its XML documentation" (List.contains (assembly + ".xml") package.Entries)

    let symbols = Path.Combine(folder, $"{package.Id}.{package.Version}.snupkg")
    check $"{package.Id} has a symbols package with its PDB" (List.contains (assembly + ".pdb") (open' symbols).Entries)

    let natives =
        package.Entries
        |> List.filter (fun entry -> entry.EndsWith ".so" || entry.StartsWith "runtimes/")

    check $"{package.Id} holds no native library, found %A{natives}" natives.IsEmpty

    let found = dependencies package |> Map.toList
    check $"{package.Id} depends on %A{expected}, found %A{found}" (found = expected)

/// Installs the tool from its packed file and runs it far from the repository.
let private checkTool (folder: string) (package: Package) =
    checkMetadata package

    let natives =
        package.Entries
        |> List.filter (fun entry -> entry.EndsWith "linux-x64/native/libtorch_cpu.so")

    check $"{package.Id} holds libtorch for Linux x64 once, found %A{natives}" (natives.Length = 1)

    let away = Path.Combine(Path.GetTempPath(), $"reft-pack-check-{Guid.NewGuid():N}")
    Directory.CreateDirectory away |> ignore

    try
        Shell.dotnet
            [ "tool"
              "install"
              package.Id
              "--version"
              package.Version
              "--tool-path"
              away
              "--source"
              folder
              "--no-cache" ]

        let reft = Path.Combine(away, "reft")
        let run arguments = Shell.capture away reft arguments
        let code, help = run [ "--help" ]
        check "`reft --help` runs outside the repository" (code = 0)

        for command in [ "train"; "generate"; "score"; "inspect" ] do
            check $"`reft --help` lists {command}" (help.Contains $"\n  {command} ")

        let model = Shell.at "tests/golden/a_models/llama/model"
        let rows = Path.Combine(away, "rows.jsonl")
        File.WriteAllText(rows, """{"input_ids": [1, 2, 3, 4]}""" + "\n")
        let code, line = run [ "score"; "--model"; model; "--input"; rows; "--json" ]

        check
            $"`reft score` scores a model outside the repository, found: {line}"
            (code = 0 && line.Contains "\"logprobs\"")

        printfn "reft score: ran outside the repository"
    finally
        Directory.Delete(away, true)

let run () =
    let folder = Shell.emptyFolder "packages"

    for project in [ "src/Reft.Core"; "src/Reft.Interop.CSharp"; "src/Reft.Cli" ] do
        Shell.dotnet
            [ "pack"
              project
              "-c"
              "Release"
              "--no-build"
              "--nologo"
              "-v"
              "q"
              "-m:1"
              "-o"
              folder ]

    let package id =
        Directory.GetFiles(folder, id + ".*.nupkg") |> Array.exactlyOne |> open'

    let core, facade, tool =
        package "Reft.Core", package "Reft.Interop.CSharp", package "Reft.Cli"

    for packed in [ core; facade; tool ] do
        printfn $"{packed.Id} {packed.Version}: %A{dependencies packed |> Map.toList}"

    let fsharpCore, torchSharp =
        ("FSharp.Core", "10.0.111"), ("TorchSharp", "[0.107.0,0.108.0)")

    let polly = "Polly.Core", "[8.6.5,9.0.0)"
    let parquet = "Parquet.Net", "[6.1.0,7.0.0)"

    let logging = "Microsoft.Extensions.Logging.Abstractions", "[10.0.0,11.0.0)"

    checkLibrary folder [ fsharpCore; torchSharp ] core
    checkLibrary folder [ fsharpCore; logging; parquet; polly; "Reft.Core", core.Version; torchSharp ] facade
    checkTool folder tool
    printfn "packages: dependencies, metadata, documentation, symbols and the installed tool are as they should be"
