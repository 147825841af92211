module Reft.Core.Tests.Text.TokenizerDecodingTests

open System
open System.IO
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

/// Without a normalizer, and with merges that cross characters' bytes.
let private llama3 =
    lazy TokenizerFile.load (Path.Combine(golden, "f_tokenizers", "own_llama3_style"))

let private pieces =
    [ "a"
      "Z"
      " "
      "  "
      "\n"
      "\t"
      "\u0000"
      "é"
      "e\u0301"
      "\u0301"
      "日本"
      "漢"
      "\U00020000"
      "ß"
      "ſ"
      "👩‍👩‍👧‍👦"
      "🏳️‍🌈"
      "\u200D"
      "\uFEFF"
      "\U0001D400"
      "\uFFFD"
      "\uFFFF"
      "\U0010FFFF"
      "\uD800"
      "\uDC00"
      "\uDBFF"
      "the"
      "'s"
      "123"
      "<|eot_id|>"
      "Ġ"
      "\u3000" ]

/// Texts of awkward pieces: two lone halves side by side may well become a pair.
let private texts: Arbitrary<string> =
    Gen.oneof [ Gen.elements pieces; Gen.choose (0, 0xFFFF) |> Gen.map (char >> string) ]
    |> Gen.listOf
    |> Gen.map (String.concat "")
    |> Arb.fromGen

let private idsOf (tokenizer: TextTokenizer) : Arbitrary<int list> =
    Gen.choose (-3, tokenizer.VocabularySize + 3) |> Gen.listOf |> Arb.fromGen

/// What UTF-8 can say of a text: lone surrogates become U+FFFD.
let private wellFormed (text: string) =
    Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)

[<Tests>]
let tests =
    testList
        "Tokenizer, decoding"
        [ test "decode ∘ encode is the text" {
              let tokenizer = llama3.Value

              Check.One(
                  Config.QuickThrowOnFailure.WithMaxTest 1000,
                  Prop.forAll texts (fun text ->
                      tokenizer.Decode(tokenizer.EncodeCompletion text, false) = wellFormed text)
              )
          }
          test "a stream of any ids adds up to their decoding, and no piece ends in half a character" {
              let tokenizer = llama3.Value

              for skipSpecial in [ false; true ] do
                  Check.One(
                      Config.QuickThrowOnFailure.WithMaxTest 1000,
                      Prop.forAll (idsOf tokenizer) (fun ids ->
                          let stream = tokenizer.Stream skipSpecial
                          let parts = [ for id in ids -> stream.Push id ] @ [ stream.Flush() ]

                          String.concat "" parts = tokenizer.Decode(ids, skipSpecial)
                          && parts |> List.forall (fun part -> wellFormed part = part))
                  )
          }
          test "an emoji comes when its last byte does" {
              let tokenizer = loadJson (bytesOnly [])
              let stream = tokenizer.Stream false
              let ids = tokenizer.EncodeCompletion "a🤖"
              Expect.equal [ for id in ids -> stream.Push id ] [ "a"; ""; ""; ""; "🤖" ] "pieces"
              Expect.equal (stream.Flush()) "" "nothing left"
              stream.Push ids[1] |> ignore
              Expect.equal (stream.Flush()) "\uFFFD" "cut short"
              Expect.equal (stream.Push ids[0]) "a" "as new"
          }
          test "ids that no token has stand for nothing" {
              let tokenizer = loadJson (bytesOnly [])

              Expect.equal
                  (tokenizer.Decode([ -1; 32; 5000; Int32.MaxValue ], false))
                  (tokenizer.Decode([ 32 ], false))
                  ""

              Expect.equal (tokenizer.IdToToken 5000) None "no token"
          }
          test "the byte alphabet is GPT-2's, one to one" {
              Expect.equal (ByteLevel.charOf 32uy) 'Ġ' "space"
              Expect.equal (ByteLevel.charOf 10uy) 'Ċ' "line feed"
              Expect.equal (ByteLevel.charOf 0xADuy) 'Ń' "soft hyphen"
              Expect.equal (ByteLevel.alphabet |> Seq.distinct |> Seq.length) 256 "distinct"

              for b in 0uy .. 255uy do
                  Expect.equal (ByteLevel.tryByteOf (ByteLevel.charOf b)) (Some b) "inverse"

              Expect.equal (ByteLevel.tryByteOf ' ') None "a space is not in it"
          }
          test "one tokenizer serves several threads" {
              let tokenizer = llama3.Value
              let text = String.replicate 50 "The rows moved, and nobody said a word. "
              let expected = tokenizer.EncodeCompletion text

              let results =
                  Array.Parallel.init 16 (fun i -> tokenizer.EncodeCompletion $"{i}", tokenizer.EncodeCompletion text)

              for _, ids in results do
                  Expect.equal ids expected "the same ids"
          } ]
