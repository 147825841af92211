/// The kinds of normalizers, pre-tokenizers, models and decoders, each by what it does to a text.
module Reft.Core.Tests.Text.TokenizerKindTests

open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open FsCheck
open FsCheck.FSharp
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

/// A vocabulary of whole pieces, so that tokens show the cuts.
let private wordLevel (words: string list) : JsonObject =
    let vocabulary = JsonObject()

    for word in "?" :: words do
        vocabulary[word] <- JsonValue.Create vocabulary.Count

    let model = JsonObject()
    model["type"] <- JsonValue.Create "WordLevel"
    model["unk_token"] <- JsonValue.Create "?"
    model["vocab"] <- vocabulary
    let root = JsonObject()
    root["added_tokens"] <- JsonArray()
    root["decoder"] <- json """{"type":"Fuse"}"""
    root["model"] <- model
    root

let private spelled (tokenizer: TextTokenizer) (text: string) : string list =
    [ for id in tokenizer.EncodeCompletion text -> tokenizer.IdToToken id |> Option.get ]

/// The pieces that a pre-tokenizer makes of a text, which must be these.
let private cuts (preTokenizer: string) (text: string) (pieces: string list) =
    let tokenizer =
        wordLevel (List.distinct pieces)
        |> replace "pre_tokenizer" preTokenizer
        |> loadJson

    Expect.equal (spelled tokenizer text) pieces $"{preTokenizer} of {text}"

let private preTokenizers =
    testList
        "pre-tokenizers"
        [ test "Whitespace" {
              cuts
                  """{"type":"Whitespace"}"""
                  " Hey, man!? naïve_1  e\u0301 x"
                  [ "Hey"; ","; "man"; "!?"; "naïve_1"; "e\u0301"; "x" ]
          }
          test "WhitespaceSplit" { cuts """{"type":"WhitespaceSplit"}""" " a,b\u3000c \n d" [ "a,b"; "c"; "d" ] }
          test "BertPreTokenizer" {
              cuts """{"type":"BertPreTokenizer"}""" "a$b  c。d--" [ "a"; "$"; "b"; "c"; "。"; "d"; "-"; "-" ]
          }
          test "Punctuation" {
              cuts """{"type":"Punctuation"}""" "a,b!?" [ "a"; ","; "b"; "!"; "?" ]
              cuts """{"type":"Punctuation","behavior":"Contiguous"}""" "a,b!?" [ "a"; ","; "b"; "!?" ]
              cuts """{"type":"Punctuation","behavior":"MergedWithNext"}""" "a,b!?" [ "a"; ",b"; "!"; "?" ]
          }
          test "CharDelimiterSplit" { cuts """{"type":"CharDelimiterSplit","delimiter":"-"}""" "-a--b" [ "a"; "b" ] }
          test "FixedLength" { cuts """{"type":"FixedLength","length":2}""" "a👍bcd" [ "a👍"; "bc"; "d" ] }
          test "Metaspace" {
              let node scheme split =
                  $"""{{"type":"Metaspace","replacement":"_","prepend_scheme":"{scheme}","split":{split}}}"""

              cuts (node "always" "true") "a  b" [ "_a"; "_"; "_b" ]
              cuts (node "always" "true") " a" [ "_a" ]
              cuts (node "never" "true") "a b" [ "a"; "_b" ]
              cuts (node "always" "false") "a b" [ "_a_b" ]
          }
          test "Metaspace first: the start of the text alone" {
              let node =
                  """{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]}"""

              cuts node "a b" [ "_a"; "b" ]
              cuts node " a" [ "a" ]

              let tokenizer =
                  wordLevel [ "_a"; "a" ]
                  |> replace "pre_tokenizer" node
                  |> replace "added_tokens" """[{"id":9,"content":"<s>","special":true}]"""
                  |> loadJson

              Expect.equal (spelled tokenizer "a<s>a") [ "_a"; "<s>"; "a" ] "after a special token"
              Expect.equal (spelled tokenizer "<s>a") [ "<s>"; "a" ] "a special token first"
          } ]

/// What a normalizer makes of a text.
let private becomes (normalizer: string) (text: string) (result: string) =
    let file = wordLevel [ result ] |> replace "normalizer" normalizer
    Expect.equal (spelled (loadJson file) text) [ result ] $"{normalizer} of {text}"

let private normalizers =
    testList
        "normalizers"
        [ test "Lowercase goes character by character" { becomes """{"type":"Lowercase"}""" "ÀİΣßẞ𐐀" "ài\u0307σßß𐐨" }
          test "StripAccents drops marks that stand alone" {
              becomes """{"type":"StripAccents"}""" "e\u0301é" "eé"
              becomes """{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]}""" "e\u0301é" "ee"
          }
          test "BertNormalizer" {
              let bert strip lower =
                  $"""{{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":{strip},"lowercase":{lower}}}"""

              becomes (bert "null" "true") "É\u0000\tx日" "e x 日 "
              becomes (bert "null" "false") "É\u200D" "É"
              becomes (bert "false" "true") "É" "é"
              becomes (bert "true" "false") "É" "E"
          }
          test "Strip, Prepend and Replace" {
              becomes """{"type":"Strip","strip_left":true,"strip_right":false}""" " \ta " "a "
              becomes """{"type":"Strip","strip_left":false,"strip_right":true}""" " a\n " " a"
              becomes """{"type":"Prepend","prepend":"▁"}""" "a" "▁a"
              becomes """{"type":"Replace","pattern":{"String":"aa"},"content":"b"}""" "aaa" "ba"
              becomes """{"type":"Replace","pattern":{"Regex":"\\s+"},"content":"$1"}""" "a \n b" "a$1b"
          }
          test "Nmt" { becomes """{"type":"Nmt"}""" "a\u0001\tb\u200Bc\u2581" "a b c " }
          test "Precompiled" {
              let map =
                  SentencePieceFixtures.charsmap [ "ﬁ", "fi"; "①", "1" ]
                  |> System.Convert.ToBase64String

              becomes $"""{{"type":"Precompiled","precompiled_charsmap":"{map}"}}""" "ﬁ①x" "fi1x"
          }
          test "texts that grow out of bounds are refused" {
              let replacement =
                  """{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaaaaaaaa"}"""

              let all = String.concat "," (List.replicate 12 replacement)

              let tokenizer =
                  wordLevel []
                  |> replace "normalizer" $"""{{"type":"Sequence","normalizers":[{all}]}}"""
                  |> loadJson

              Expect.throwsT<InvalidDataException>
                  (fun () -> tokenizer.EncodeCompletion(String.replicate 1000 "a") |> ignore)
                  "refused"
          } ]

let private bpe (model: string) =
    let root = JsonObject()
    root["model"] <- json model
    root["decoder"] <- json """{"type":"Fuse"}"""
    root

let private models =
    testList
        "models"
        [ test "BPE with the end of a word, as GPT-1 has it" {
              let tokenizer =
                  bpe
                      """{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0,"b":1,"a</w>":2,"b</w>":3,"ab</w>":4,"ab":5},
                          "merges":["a b</w>","a b"]}"""
                  |> replace "pre_tokenizer" """{"type":"WhitespaceSplit"}"""
                  |> replace "decoder" """{"type":"BPEDecoder","suffix":"</w>"}"""
                  |> loadJson

              Expect.equal (spelled tokenizer "ab aba") [ "ab</w>"; "ab"; "a</w>" ] "tokens"
              Expect.equal (tokenizer.Decode(tokenizer.EncodeCompletion "ab aba", false)) "ab aba" "text"
          }
          test "BPE with a prefix within words" {
              let tokenizer =
                  bpe
                      """{"type":"BPE","continuing_subword_prefix":"##","vocab":{"a":0,"##b":1,"ab":2,"##c":3,"##bc":4},
                          "merges":["##b ##c","a ##b"]}"""
                  |> loadJson

              Expect.equal (spelled tokenizer "ab") [ "ab" ] "joined without the prefix"
              Expect.equal (spelled tokenizer "abc") [ "a"; "##bc" ] "the first merge first"
          }
          test "byte fallback needs all bytes of a character" {
              let model =
                  """{"type":"BPE","byte_fallback":true,"unk_token":"?","fuse_unk":true,
                      "vocab":{"?":0,"a":1,"<0xC3>":2,"<0xA9>":3},"merges":[]}"""

              let tokenizer = bpe model |> loadJson
              Expect.equal (tokenizer.EncodeCompletion "aé") [| 1; 2; 3 |] "both are there"
              Expect.equal (tokenizer.EncodeCompletion "aèèa") [| 1; 0; 1 |] "one is not"
              // An unknown character is added when a known one follows: Hugging Face's order.
              Expect.equal (tokenizer.EncodeCompletion "èéa") [| 2; 3; 0; 1 |] "bytes overtake the unknown"
          }
          test "the same merges with and without the cut at words" {
              // Of two such vocabularies one has a merge over the start of a word.
              let file crossing =
                  let extra = if crossing then ""","b▁":6,"b▁a":7""" else ""
                  let merges = if crossing then ""","b ▁","b▁ a" """ else ""

                  bpe
                      $"""{{"type":"BPE","vocab":{{"a":0,"b":1,"▁":2,"▁a":3,"ab":4,"▁ab":5{extra}}},"merges":["▁ a","a b","▁a b"{merges}]}}"""
                  |> loadJson

              Expect.equal (spelled (file false) "b▁ab▁▁ab") [ "b"; "▁ab"; "▁"; "▁ab" ] "cut"
              Expect.equal (spelled (file true) "b▁b▁ab") [ "b▁"; "b"; "▁ab" ] "not cut after b"
          }
          test "WordPiece" {
              let tokenizer =
                  bpe
                      """{"type":"WordPiece","unk_token":"?","max_input_chars_per_word":6,
                          "vocab":{"?":0,"un":1,"##aff":2,"##able":3,"##a":4,"👍":5}}"""
                  |> replace "pre_tokenizer" """{"type":"WhitespaceSplit"}"""
                  |> replace "decoder" """{"type":"WordPiece","prefix":"##","cleanup":true}"""
                  |> loadJson

              Expect.equal
                  (spelled tokenizer "unaff una unx 👍a unaffab")
                  [ "un"; "##aff"; "un"; "##a"; "?"; "👍"; "##a"; "?" ]
                  "tokens"

              Expect.equal (tokenizer.Decode([ 1; 2; 0; 5 ], false)) "unaff? 👍" "a space before a question mark goes"
          }
          test "Unigram" {
              let model bytes =
                  $"""{{"type":"Unigram","unk_id":0,"byte_fallback":{bytes},"vocab":
                      [["?",0],["a",-1],["b",-1],["ab",-1.9],["<0xC3>",-9],["<0xA9>",-9],["ba",-2.0]]}}"""

              let ids bytes (text: string) =
                  (bpe (model bytes) |> loadJson).EncodeCompletion text

              Expect.equal (ids "false" "ab") [| 3 |] "the better one"
              Expect.equal (ids "false" "ba") [| 6 |] "of equals the longer last token"
              Expect.equal (ids "false" "aéèb") [| 1; 0; 2 |] "unknown ones are one"
              Expect.equal (ids "true" "aéb") [| 1; 4; 5; 2 |] "by bytes"
              Expect.equal (ids "true" "aéèb") [| 1; 0; 2 |] "all bytes, or unknown"
          }
          test "Unigram without an unknown token refuses a text that needs it" {
              let tokenizer = bpe """{"type":"Unigram","vocab":[["a",-1]]}""" |> loadJson
              Expect.equal (tokenizer.EncodeCompletion "aa") [| 0; 0 |] "known"
              Expect.throwsT<InvalidDataException> (fun () -> tokenizer.EncodeCompletion "b" |> ignore) "unknown"
          } ]

/// What a decoder makes of tokens, whole and by a stream.
let private decodes (decoder: string) (tokens: string list) (text: string) =
    let tokenizer =
        wordLevel (List.distinct tokens) |> replace "decoder" decoder |> loadJson

    let ids = [ for token in tokens -> tokenizer.TokenToId token |> Option.get ]
    Expect.equal (tokenizer.Decode(ids, false)) text $"{decoder}"
    let stream = tokenizer.Stream false

    Expect.equal
        (String.concat "" ([ for id in ids -> stream.Push id ] @ [ stream.Flush() ]))
        text
        $"{decoder}, streamed"

let private decoders =
    testList
        "decoders"
        [ test "none: words" { decodes "null" [ "a"; "b" ] "a b" }
          test "ByteFallback" {
              let sequence =
                  """{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]}"""

              decodes sequence [ "a"; "<0xC3>"; "<0xA9>"; "b" ] "aéb"
              decodes sequence [ "<0xC3>"; "<0xA9>"; "<0xC3>" ] "\uFFFD\uFFFD\uFFFD"
              decodes sequence [ "<0xC3>"; "a"; "<0xG3>" ] "\uFFFDa<0xG3>"
          }
          test "Strip, of each token and of all" {
              let strip start stop =
                  $"""{{"type":"Strip","content":"_","start":{start},"stop":{stop}}}"""

              let fused start stop =
                  $"""{{"type":"Sequence","decoders":[{{"type":"Fuse"}},{strip start stop}]}}"""

              decodes (strip 1 0) [ "__a"; "_b_" ] "_ab_"
              decodes (strip 0 1) [ "a__"; "b" ] "a_b"
              decodes (fused 1 0) [ "__a"; "_b" ] "_a_b"
              decodes (fused 2 0) [ "_"; "_"; "_a" ] "_a"
              decodes (fused 0 2) [ "a_"; "_"; "b__"; "_" ] "a__b_"
              decodes (fused 1 1) [ "_"; "_" ] ""
          }
          test "Metaspace" {
              let node scheme =
                  $"""{{"type":"Metaspace","replacement":"_","prepend_scheme":"{scheme}"}}"""

              decodes (node "always") [ "_a"; "_b" ] "a b"
              decodes (node "never") [ "_a"; "_b" ] " a b"
          }
          test "Replace after Fuse sees the whole text" {
              decodes
                  """{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},"content":"x"}]}"""
                  [ "a"; "b"; "ba" ]
                  "xba"
          }
          test "WordPiece cleans up English" {
              decodes
                  """{"type":"WordPiece","prefix":"##","cleanup":true}"""
                  [ "do"; "##g"; "n't"; ","; "."; "##." ]
                  "dogn't,.."
          }
          testList
              "streams add up"
              [ for name in
                    [ "own_metaspace_bytefallback"
                      "own_wordpiece"
                      "own_unigram"
                      "own_bytelevel_nfc" ] do
                    test name {
                        let tokenizer = TokenizerFile.load (Path.Combine(golden, "f_tokenizers", name))

                        let ids = Gen.choose (-1, tokenizer.VocabularySize + 1) |> Gen.listOf |> Arb.fromGen

                        for skipSpecial in [ false; true ] do
                            Check.One(
                                Config.QuickThrowOnFailure.WithMaxTest 300,
                                Prop.forAll ids (fun ids ->
                                    let stream = tokenizer.Stream skipSpecial

                                    String.concat "" ([ for id in ids -> stream.Push id ] @ [ stream.Flush() ]) =
                                        tokenizer.Decode(ids, skipSpecial))
                            )
                    } ] ]

[<Tests>]
let tests =
    testList "Tokenizer, kinds" [ preTokenizers; normalizers; models; decoders ]
