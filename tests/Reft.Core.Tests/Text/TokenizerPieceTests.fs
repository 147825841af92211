/// How a text is cut: added tokens, pre-tokenizers, merges.
module Reft.Core.Tests.Text.TokenizerPieceTests

open System.Collections.Generic
open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

/// A vocabulary of the 256 bytes in which whatever stays in one piece becomes one token: the words must be given.
let private wordsOf (words: string list) : (string * string) list =
    [ for word in words do
          let spelled = ByteLevel.ofText word

          for length in 2 .. spelled.Length do
              spelled.Substring(0, length - 1), spelled.Substring(length - 1, 1) ]
    |> List.distinct

let private splitting (pattern: string) (behavior: string) (invert: bool) =
    let flag = if invert then "true" else "false"

    $"""{{"type":"Sequence","pretokenizers":[
        {{"type":"Split","pattern":{pattern},"behavior":"{behavior}","invert":{flag}}},
        {{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}}"""

let private countdown behavior invert =
    // Every stretch of the text that any behavior leaves whole is a token.
    let words = [ "the-"; "-final"; "final-"; "--"; "-countdown" ]

    bytesOnly (wordsOf words)
    |> replace "pre_tokenizer" (splitting """{"String":"-"}""" behavior invert)
    |> loadJson
    |> fun tokenizer -> tokensOf tokenizer "the-final--countdown"

/// `unsplit` cuts "the-final--countdown" where merges allow: Hugging Face's documentation gives these cuts.
let private behaviors =
    testList
        "Split"
        [ test "Removed" { Expect.equal (countdown "Removed" false |> String.concat "") "thefinalcountdown" "" }
          test "Isolated" {
              let tokens = countdown "Isolated" false
              Expect.equal (List.filter (fun (t: string) -> t.Contains '-') tokens) [ "-"; "-"; "-" ] ""
          }
          test "MergedWithPrevious" {
              let tokens = countdown "MergedWithPrevious" false
              Expect.equal (List.filter (fun (t: string) -> t.Contains '-') tokens) [ "the-"; "final-"; "-" ] ""
          }
          test "MergedWithNext" {
              let tokens = countdown "MergedWithNext" false
              Expect.equal (List.filter (fun (t: string) -> t.Contains '-') tokens) [ "-final"; "-"; "-countdown" ] ""
          }
          test "Contiguous" {
              let tokens = countdown "Contiguous" false
              Expect.equal (List.filter (fun (t: string) -> t.Contains '-') tokens) [ "-"; "--" ] ""
          }
          test "invert and Removed keeps the matches" {
              Expect.equal (countdown "Removed" true |> String.concat "") "---" ""
          }
          test "Digits apart or together" {
              let cut individual =
                  bytesOnly (wordsOf [ "12"; "a1" ])
                  |> replace
                      "pre_tokenizer"
                      $"""{{"type":"Sequence","pretokenizers":[{{"type":"Digits","individual_digits":{individual}}},{{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}}"""
                  |> loadJson
                  |> fun tokenizer -> tokensOf tokenizer "a12"

              Expect.equal (cut "true") [ "a"; "1"; "2" ] "apart"
              Expect.equal (cut "false") [ "a"; "12" ] "together"
          }
          test "add_prefix_space puts a space before a text that has none" {
              let tokenizer =
                  bytesOnly []
                  |> replace "pre_tokenizer" """{"type":"ByteLevel","add_prefix_space":true}"""
                  |> loadJson

              Expect.equal (tokenizer.EncodeCompletion "a") (tokenizer.EncodeCompletion " a") "once"
              Expect.equal (tokenizer.EncodeCompletion "") [||] "nothing stays nothing"
          } ]

/// .NET has no category for letters beyond U+FFFF; Oniguruma has.
let private beyondTheBasicPlane =
    testList
        "Beyond U+FFFF"
        [ test "letters, digits and symbols keep their categories" {
              let pieces (pattern: string) (text: string) =
                  let pattern = System.Text.Json.JsonSerializer.Serialize pattern

                  bytesOnly []
                  |> replace "pre_tokenizer" (splitting $"""{{"Regex":{pattern}}}""" "Removed" false)
                  |> loadJson
                  |> fun tokenizer -> tokenizer.Decode(tokenizer.EncodeCompletion text, false)

              // Mathematical bold A, CJK extension B, Gothic; bold digit 1; an emoji.
              let text = "x\U0001D400\U00020000\U00010330\U0001D7CF\U0001F600y"
              Expect.equal (pieces @"\p{L}" text) "\U0001D7CF\U0001F600" "letters"
              Expect.equal (pieces @"\p{N}" text) "x\U0001D400\U00020000\U00010330\U0001F600y" "digits"
              Expect.equal (pieces @"[^\s\p{L}\p{N}]" text) "x\U0001D400\U00020000\U00010330\U0001D7CFy" "symbols"
              Expect.equal (pieces @"\p{Lu}" text) "x\U00020000\U00010330\U0001D7CF\U0001F600y" "capitals"
              Expect.equal (pieces @"." text) "" "each is one character"
          }
          test "stand-ins have the category that they stand for" {
              for value in Seq.append [ 0x10000..7..0x1FFFF ] [ 0x20000..997..0x10FFFF ] do
                  let rune = System.Text.Rune value
                  let standIn = System.Text.Rune(Oniguruma.standIn rune)

                  Expect.equal
                      (System.Text.Rune.GetUnicodeCategory standIn)
                      (System.Text.Rune.GetUnicodeCategory rune)
                      $"U+{value:X}"
          }
          test "ſ folds with s, as in Oniguruma" {
              let tokenizer =
                  bytesOnly (wordsOf [ "'ſ" ])
                  |> replace "pre_tokenizer" (splitting """{"Regex":"(?i:'s)|."}""" "Isolated" false)
                  |> loadJson

              Expect.equal (tokensOf tokenizer "'ſ") [ "'ſ" ] ""
          } ]

let private added flags =
    bytesOnly (wordsOf [ " x" ])
    |> replace "added_tokens" $"""[{{"id":900,"content":"<t>"{flags}}},{{"id":901,"content":"<t>>","special":true}}]"""
    |> loadJson

let private addedTokens =
    testList
        "Added tokens"
        [ test "plain" { Expect.equal (tokensOf (added "") "a <t> x") [ "a"; " "; "<t>"; " x" ] "" }
          test "the longest wins" { Expect.equal (tokensOf (added "") "a<t>>b") [ "a"; "<t>>"; "b" ] "" }
          test "lstrip and rstrip take the white space beside them" {
              let tokenizer = added ""","lstrip":true"""
              Expect.equal (tokensOf tokenizer "a \t<t> x") [ "a"; "<t>"; " x" ] "left"
              let tokenizer = added ""","rstrip":true"""
              Expect.equal (tokensOf tokenizer "a <t> \n x") [ "a"; " "; "<t>"; "x" ] "right"
              let tokenizer = added ""","lstrip":true,"rstrip":true"""
              Expect.equal (tokensOf tokenizer "<t>  <t> x") [ "<t>"; "<t>"; "x" ] "each space is taken once"
          }
          test "single_word needs no word beside it" {
              let tokenizer =
                  bytesOnly []
                  |> replace "added_tokens" """[{"id":900,"content":"cat","single_word":true}]"""
                  |> loadJson

              let count text =
                  tokenizer.EncodeCompletion text |> Array.filter ((=) 900) |> Array.length

              Expect.equal (count "cat cat, (cat)") 3 "words"
              Expect.equal (count "cats bobcat cat_ \U0001D400cat cat\u0301") 0 "parts of words"
          }
          test "normalized tokens are looked for in the normalised text, the others in the text as it is" {
              let tokenizer normalized =
                  bytesOnly []
                  |> replace "normalizer" """{"type":"Sequence","normalizers":[{"type":"NFC"}]}"""
                  |> replace "added_tokens" $"""[{{"id":900,"content":"e\u0301","normalized":{normalized}}}]"""
                  |> loadJson

              Expect.equal ((tokenizer "true").EncodeCompletion "\u00E9") [| 900 |] "composed, normalised"
              Expect.equal ((tokenizer "false").EncodeCompletion "e\u0301") [| 900 |] "as it is"

              Expect.isFalse
                  ((tokenizer "false").EncodeCompletion "\u00E9" |> Array.contains 900)
                  "composed, not normalised"
          }
          test "special ones are skipped in decoding, others are not" {
              let tokenizer = added ""
              Expect.equal (tokenizer.Decode([ 900; 901 ], true)) "<t>" ""
              Expect.isTrue (tokenizer.IsSpecial 901) "special"
              Expect.isFalse (tokenizer.IsSpecial 900) "not special"
          }
          test "tokenizer_config.json may add tokens, and names BOS, EOS and padding" {
              let tokenizer =
                  loadTexts
                      ((bytesOnly []).ToJsonString())
                      (Some
                          """{"bos_token":{"content":"<b>","special":true},"eos_token":"<e>","pad_token":null,"model_max_length":1e30,
                              "added_tokens_decoder":{"300":{"content":"<b>","special":true},"301":{"content":"<e>","special":true}}}""")

              Expect.equal tokenizer.BosId (Some 300) "bos"
              Expect.equal tokenizer.EosId (Some 301) "eos"
              Expect.equal tokenizer.PadId None "pad"
              Expect.equal (tokenizer.EncodeCompletion "<b><e>") [| 300; 301 |] "found in text"
              Expect.equal tokenizer.VocabularySize 258 "vocabulary"
          } ]

let private frames =
    testList
        "Post-processors"
        [ test "a prompt gets the prefix alone, a completion nothing" {
              let tokenizer =
                  bytesOnly []
                  |> replace
                      "added_tokens"
                      """[{"id":300,"content":"<b>","special":true},{"id":301,"content":"<e>","special":true}]"""
                  |> replace
                      "post_processor"
                      """{"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":false},
                          {"type":"RobertaProcessing","cls":["<b>",300],"sep":["<e>",301],"trim_offsets":true,"add_prefix_space":false}]}"""
                  |> loadJson

              let a = tokenizer.EncodeCompletion "a"
              Expect.equal (tokenizer.Encode("a", true)) [| 300; a[0]; 301 |] "both"
              Expect.equal (tokenizer.EncodePrompt "a") [| 300; a[0] |] "prefix"
              Expect.equal (tokenizer.Encode("a", false)) a "none"
          } ]

/// The same merges by another implementation.
let private library (file: System.Text.Json.Nodes.JsonObject) : string -> int[] =
    let model = file["model"] |> Option.ofObj |> Option.get
    let vocabulary = model["vocab"] |> Option.ofObj |> Option.get
    let merges = model["merges"] |> Option.ofObj |> Option.get

    let options =
        Microsoft.ML.Tokenizers.BpeOptions
            [ for entry in vocabulary.AsObject() do
                  KeyValuePair(entry.Key, (entry.Value |> Option.ofObj |> Option.get).GetValue<int>()) ]

    options.Merges <-
        [| for merge in merges.AsArray() do
               let parts = (merge |> Option.ofObj |> Option.get).AsArray()
               $"{parts[0]} {parts[1]}" |]

    let bpe = Microsoft.ML.Tokenizers.BpeTokenizer.Create options

    fun piece ->
        bpe.EncodeToIds(piece, considerPreTokenization = false, considerNormalization = false)
        |> Seq.toArray

let private merging =
    testList
        "Merges"
        [ test "strings and arrays mean the same" {
              let pairs = wordsOf [ "hello"; "help" ]
              let strings = pairs |> List.map (fun (l, r) -> $"\"{l} {r}\"") |> String.concat ","
              let arrays = bytesOnly pairs
              let text = "hello help hell"

              Expect.equal
                  ((loadJson (arrays |> replaceModel "merges" $"[{strings}]")).EncodeCompletion text)
                  ((loadJson arrays).EncodeCompletion text)
                  ""
          }
          test "ignore_merges takes whole words from the vocabulary first" {
              // "abc" is a token that no merge path reaches: b+c comes first.
              let file = bytesOnly [ "b", "c"; "a", "b"; "ab", "c" ]

              let id = (loadJson file).TokenToId "abc"
              Expect.equal ((loadJson file).EncodeCompletion "abc" |> Array.length) 2 "merged"

              Expect.equal
                  ((loadJson (file |> replaceModel "ignore_merges" "true")).EncodeCompletion "abc"
                   |> Array.tryExactlyOne)
                  id
                  "looked up"
          }
          test "a byte without a token is unknown, fused if the file says so, or left out" {
              let file unknown fuse =
                  bytesOnly []
                  |> replaceModel "vocab" """{"a":0,"b":1,"?":2}"""
                  |> replaceModel "unk_token" unknown
                  |> replaceModel "fuse_unk" fuse
                  |> loadJson

              Expect.equal ((file "\"?\"" "false").EncodeCompletion "axyb") [| 0; 2; 2; 1 |] "each"
              Expect.equal ((file "\"?\"" "true").EncodeCompletion "axyb") [| 0; 2; 1 |] "fused"
              Expect.equal ((file "null" "false").EncodeCompletion "axyb") [| 0; 1 |] "left out"
          }
          testProperty "both merge loops give what Microsoft.ML.Tokenizers' gives"
          <| fun (seed: int) ->
              let random = System.Random seed
              let letters = "abcd"

              let word length =
                  System.String(Array.init length (fun _ -> letters[random.Next letters.Length]))

              // Merges are learnt as a trainer learns them: each joins two tokens that exist.
              let tokens = ResizeArray(letters |> Seq.map string)

              let merges =
                  [ for _ in 1..30 do
                        let l, r = tokens[random.Next tokens.Count], tokens[random.Next tokens.Count]

                        if not (tokens.Contains(l + r)) then
                            tokens.Add(l + r)
                            l, r ]

              let model = (bytesOnly merges)["model"] |> Option.ofObj |> Option.get
              use document = System.Text.Json.JsonDocument.Parse(model.ToJsonString())

              let short, long =
                  BytePairModel.mergeLoops
                      { File = "test"
                        Path = JsonPath.Root
                        Value = document.RootElement }

              let library = library (bytesOnly merges)

              for _ in 1..20 do
                  let piece = word (random.Next(1, 120))
                  Expect.equal (long piece) (library piece) piece

                  if piece.Length <= BytePairMerges.Shortest then
                      Expect.equal (short piece) (library piece) piece
          test "a long piece takes time in proportion" {
              let tokenizer = loadJson (bytesOnly [ "a", "b"; "ab", "ab"; "abab", "abab" ])
              let text = String.replicate 400_000 "ab"
              let clock = System.Diagnostics.Stopwatch.StartNew()
              Expect.equal (tokenizer.EncodeCompletion text |> Array.length) 100_000 "tokens"
              // The library's loop would take minutes.
              Expect.isLessThan clock.Elapsed.TotalSeconds 20.0 "seconds"
          } ]

[<Tests>]
let tests =
    testList "Tokenizer, pieces" [ behaviors; beyondTheBasicPlane; addedTokens; frames; merging ]
