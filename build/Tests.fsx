/// Runs the Expecto projects and adds up their results.
module Tests

#load "Shell.fsx"
#load "Vocabularies.fsx"

open System
open System.IO
open System.Xml
open System.Xml.Linq

let private projects = [ "Reft.Core.Tests"; "Reft.Interop.CSharp.Tests" ]

type Summary = { Passed: int; Failed: int }

/// Counts of an Expecto JUnit report; a run that left none (a crash, for example) counts as one failure.
let private read (report: string) =
    if File.Exists report then
        // A failed expectation puts the terminal's colour codes into the report, which XML does not allow.
        use reader = XmlReader.Create(report, XmlReaderSettings(CheckCharacters = false))

        let bad, good =
            XDocument.Load(reader).Descendants(XName.Get "testcase")
            |> List.ofSeq
            |> List.filter (fun case -> case.Element(XName.Get "skipped") |> isNull)
            |> List.partition (fun case ->
                [ "failure"; "error" ]
                |> List.exists (fun tag -> not (isNull (case.Element(XName.Get tag)))))

        { Passed = good.Length
          Failed = bad.Length }
    else
        { Passed = 0; Failed = 1 }

/// The real vocabularies, if they are there or can be had: tests that need one are skipped without it.
let private vocabularies () =
    if not (isNull (Environment.GetEnvironmentVariable "REFT_NPM_PACKAGES")) then
        []
    else
        try
            Vocabularies.install ()
            [ "REFT_NPM_PACKAGES", Vocabularies.folder ]
        with error ->
            eprintfn $"tests with real vocabularies are skipped: {error.Message}"
            []

/// Runs every test project, also after a failure. With `long`, the tests that take minutes run too.
let run long =
    let reports = Shell.emptyFolder "tests"

    let environment =
        [ if long then
              "REFT_LONG_TESTS", "1"
              yield! vocabularies () ]

    [ for project in projects do
          let report = Path.Combine(reports, project + ".xml")
          let assembly = Shell.at $"tests/{project}/bin/Release/net10.0/{project}.dll"
          printfn $"{project}"

          let code =
              Shell.runIn Shell.root environment "dotnet" [ assembly; "--junit-summary"; report; "--no-spinner" ]

          let summary = read report

          if code <> 0 && summary.Failed = 0 then
              eprintfn $"{project} ended with exit code {code}"
              { summary with Failed = 1 }
          else
              summary ]
    |> List.reduce (fun a b ->
        { Passed = a.Passed + b.Passed
          Failed = a.Failed + b.Failed })
