/// Files of other kinds, damaged ones and hostile ones: refused, with the file, the path in it and the reason.
module Reft.Core.Tests.Text.TokenizerRefusalTests

open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

let private good = bytesOnly [ "a", "b" ]

let private refusedText name tokenizer config (fragments: string list) =
    test name {
        let message =
            try
                loadTexts tokenizer config |> ignore
                failtest "the file was accepted"
            with :? InvalidDataException as e ->
                e.Message

        for fragment in fragments do
            Expect.stringContains message fragment "message"
    }

let private refused name (file: System.Text.Json.Nodes.JsonObject) fragments =
    refusedText name (file.ToJsonString()) None ("tokenizer.json" :: fragments)

let private kinds =
    testList
        "kinds"
        [ refused "model" (good |> replaceModel "type" "\"NoSuchModel\"") [ "$.model"; "'NoSuchModel'" ]
          for kind in [ "UnicodeScripts"; "NoSuchCut" ] do
              refused
                  $"pre-tokenizer {kind}"
                  (good |> replace "pre_tokenizer" $"""{{"type":"{kind}"}}""")
                  [ "$.pre_tokenizer"; $"'{kind}'" ]
          refused
              "pre-tokenizer in a sequence"
              (good
               |> replace
                   "pre_tokenizer"
                   """{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Odd"}]}""")
              [ "$.pre_tokenizer.pretokenizers[1]"; "'Odd'" ]
          refused "normalizer" (good |> replace "normalizer" """{"type":"Odd"}""") [ "$.normalizer"; "'Odd'" ]
          refused
              "normalizer in a sequence"
              (good
               |> replace "normalizer" """{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Odd"}]}""")
              [ "$.normalizer.normalizers[1]"; "'Odd'" ]
          refused "decoder" (good |> replace "decoder" """{"type":"CTC"}""") [ "$.decoder"; "'CTC'" ]
          refused
              "decoder in a sequence"
              (good
               |> replace "decoder" """{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Odd"}]}""")
              [ "$.decoder.decoders[1]"; "'Odd'" ]
          refused
              "post-processor"
              (good |> replace "post_processor" """{"type":"Odd"}""")
              [ "$.post_processor"; "'Odd'" ] ]

let private options =
    testList
        "options"
        [ refused "unknown root member" (good |> replace "surprise" "1") [ "$.surprise"; "'surprise'" ]
          refused "unknown model option" (good |> replaceModel "surprise" "true") [ "$.model.surprise" ]
          refused
              "unknown pre-tokenizer option"
              (good
               |> replace "pre_tokenizer" """{"type":"ByteLevel","add_prefix_space":false,"surprise":1}""")
              [ "$.pre_tokenizer.surprise" ]
          refused "dropout" (good |> replaceModel "dropout" "0.1") [ "dropout" ]
          refused
              "a merge whose right token lacks the prefix within words"
              (good |> replaceModel "continuing_subword_prefix" "\"##\"")
              [ "$.model.merges[0]"; "'##'" ]
          for name, value, path in
              [ "Metaspace", ""","replacement":"__" """, "replacement"
                "Metaspace", ""","replacement":"_","prepend_scheme":"often" """, "prepend_scheme"
                "Metaspace",
                ""","replacement":"_","add_prefix_space":false,"prepend_scheme":"first" """,
                "add_prefix_space"
                "FixedLength", ""","length":0""", "length"
                "CharDelimiterSplit", ""","delimiter":"ab" """, "delimiter"
                "Punctuation", ""","behavior":"Odd" """, "behavior" ] do
              refused
                  $"pre-tokenizer {name}, {path}"
                  (good |> replace "pre_tokenizer" $"""{{"type":"{name}"{value}}}""")
                  [ $"$.pre_tokenizer.{path}" ]
          for name, value, path in
              [ "Replace", $""","pattern":{{"String":"a"}},"content":"{String.replicate 40 "a"}" """, "content"
                "Replace", ""","pattern":{"String":""},"content":"b" """, "pattern.String"
                "Prepend", $""","prepend":"{String.replicate 40 "a"}" """, "prepend"
                "Precompiled", ""","precompiled_charsmap":"?" """, "precompiled_charsmap"
                "Precompiled", ""","precompiled_charsmap":"/////w==" """, "precompiled_charsmap" ] do
              refused
                  $"normalizer {name}, {value}"
                  (good |> replace "normalizer" $"""{{"type":"{name}"{value}}}""")
                  [ $"$.normalizer.{path}" ]
          refused "unk_token" (good |> replaceModel "unk_token" "\"<unk>\"") [ "$.model.unk_token"; "<unk>" ] ]

let private patterns =
    let split (pattern: string) =
        let pattern = System.Text.Json.JsonSerializer.Serialize pattern

        good
        |> replace
            "pre_tokenizer"
            $"""{{"type":"Sequence","pretokenizers":[
                {{"type":"Split","pattern":{{"Regex":{pattern}}},"behavior":"Isolated","invert":false}},
                {{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}}"""

    testList
        "patterns"
        [ for pattern, reason in
              [ @"\w+", @"\w"
                @"a++", "possessive"
                @"[[:alpha:]]", "within a character class"
                @"[a-z&&[^b]]", "&&"
                @"\p{Han}+", "general category"
                @"(?<name>a)", "opens a group"
                @"(?i)a", "opens a group"
                @"^a", "anchor"
                @"(a", "open"
                @"a)", "did not open"
                @"[a", "without an end"
                @"a{,3}", "'{'"
                "[\u0100-\uFFFF]", "too wide"
                "\U0001F600", "U+FFFF"
                @"a\", @"lone '\'"
                @"*a", "not a regular expression" ] do
              refused pattern (split pattern) [ "$.pre_tokenizer.pretokenizers[0].pattern.Regex"; reason ]
          test "a pattern that takes for ever is stopped" {
              // A lookahead, so that the engine without backtracking cannot take it.
              let tokenizer = loadJson (split @"(a|a|aa)+(?=b)c")

              let message =
                  try
                      tokenizer.EncodeCompletion(String.replicate 5000 "a") |> ignore
                      failtest "it came to an end"
                  with :? InvalidDataException as e ->
                      e.Message

              Expect.stringContains message "tokenizer.json: $.pre_tokenizer" "names the pattern"
          } ]

let private shapes =
    let template single =
        good
        |> replace
            "post_processor"
            $"""{{"type":"TemplateProcessing","single":{single},"pair":[],"special_tokens":{{"<b>":{{"id":"<b>","ids":[7],"tokens":["<b>"]}}}}}}"""

    let text = good.ToJsonString()

    testList
        "shapes"
        [ refusedText "empty file" "" None [ "tokenizer.json"; "JSON" ]
          refusedText "an array" "[]" None [ "$"; "expected an object"; "an array" ]
          refusedText "not JSON" "hello" None [ "JSON" ]
          for part in [ 0.25; 0.5; 0.9; 0.999 ] do
              refusedText
                  $"cut at {part}"
                  (text.Substring(0, int (part * float text.Length)))
                  None
                  [ "tokenizer.json"; "truncated" ]
          refusedText "deep nesting" (String.replicate 5000 "[") None [ "JSON" ]
          refusedText "a member twice" """{"model":{},"model":{}}""" None [ "model" ]
          refused "no model" (good |> replace "model" "null") [ "'model'" ]
          refused "model is a string" (good |> replace "model" "\"BPE\"") [ "$.model"; "expected an object" ]
          refused "vocab is an array" (good |> replaceModel "vocab" "[]") [ "$.model.vocab"; "expected an object" ]
          refused "vocab is empty" (good |> replaceModel "vocab" "{}") [ "$.model.vocab"; "empty" ]
          refused "an id is a string" (good |> replaceModel "vocab" """{"a":"0"}""") [ "$.model.vocab.a"; "a string" ]
          refused "an id is negative" (good |> replaceModel "vocab" """{"a":-1}""") [ "$.model.vocab.a" ]
          refused "an id is a fraction" (good |> replaceModel "vocab" """{"a":0.5}""") [ "$.model.vocab.a" ]
          refused "an id is huge" (good |> replaceModel "vocab" """{"a":99999999999}""") [ "$.model.vocab.a" ]
          refused
              "an id is too large"
              (good |> replaceModel "vocab" """{"a":2000000000}""")
              [ "$.model.vocab.a"; "below" ]
          refused "two tokens of one id" (good |> replaceModel "vocab" """{"a":0,"b":0}""") [ "$.model.vocab.b"; "'a'" ]
          refused
              "a merge of unknown tokens"
              (good |> replaceModel "merges" """["a zz"]""")
              [ "$.model.merges[0]"; "'zz'" ]
          refused
              "a merge into an unknown token"
              (good |> replaceModel "merges" """["a c"]""")
              [ "$.model.merges[0]"; "'ac'" ]
          refused "a merge of three" (good |> replaceModel "merges" """["a b c"]""") [ "$.model.merges[0]" ]
          refused "a merge array of one" (good |> replaceModel "merges" """[["a"]]""") [ "$.model.merges[0]" ]
          refused "a merge is a number" (good |> replaceModel "merges" "[1]") [ "$.model.merges[0]"; "a string" ]
          refused "no merges" (good |> replaceModel "merges" "null") [ "'merges'" ]
          refused
              "added token with another id"
              (good |> replace "added_tokens" """[{"id":900,"content":"a"}]""")
              [ "$.added_tokens[0]"; "900" ]
          refused
              "added token with another's id"
              (good |> replace "added_tokens" """[{"id":0,"content":"<x>"}]""")
              [ "$.added_tokens[0]"; "<x>" ]
          refused
              "added token twice"
              (good
               |> replace "added_tokens" """[{"id":900,"content":"<x>"},{"id":900,"content":"<x>"}]""")
              [ "$.added_tokens[1]" ]
          refused
              "added token of no characters"
              (good |> replace "added_tokens" """[{"id":900,"content":""}]""")
              [ "$.added_tokens[0]" ]
          refused
              "added token without an id"
              (good |> replace "added_tokens" """[{"content":"<x>"}]""")
              [ "$.added_tokens[0]"; "'id'" ]
          refused
              "flag of the wrong type"
              (good |> replace "added_tokens" """[{"id":900,"content":"<x>","lstrip":1}]""")
              [ "$.added_tokens[0].lstrip" ]
          refused "template without a place" (template "[]") [ "$.post_processor"; "0 places" ]
          refused
              "template with an unknown token"
              (template """[{"SpecialToken":{"id":"<q>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]""")
              [ "$.post_processor.single[0]"; "<q>" ]
          refused
              "template with an id of no token"
              (template """[{"SpecialToken":{"id":"<b>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]"""
               |> replaceModel "vocab" """{"a":0,"b":1,"ab":2}""")
              [ "post_processor"; "7" ]
          refusedText "half a surrogate pair" """{"model":{"type":"\ud800"}}""" None [ "$.model.type"; "Unicode" ]
          refusedText
              "half a surrogate pair as a key"
              """{"model":{"vocab":{"\ud800":1},"merges":[],"type":"BPE"}}"""
              None
              [ "tokenizer.json"; "Unicode" ] ]

let private configs =
    let text = good.ToJsonString()

    testList
        "tokenizer_config.json"
        [ refusedText "truncated" text (Some "{") [ "tokenizer_config.json"; "JSON" ]
          refusedText "an array" text (Some "[]") [ "tokenizer_config.json"; "expected an object" ]
          refusedText
              "eos is a number"
              text
              (Some """{"eos_token":3}""")
              [ "tokenizer_config.json: $.eos_token"; "a string" ]
          refusedText "bos is not in the vocabulary" text (Some """{"bos_token":"<s>"}""") [ "$.bos_token"; "'<s>'" ]
          refusedText
              "an added token's id is no number"
              text
              (Some """{"added_tokens_decoder":{"x":{"content":"<s>"}}}""")
              [ "$.added_tokens_decoder.x" ] ]

let private paths =
    testList
        "paths"
        [ test "a folder without a tokenizer" {
              inFolder (fun folder ->
                  Expect.isFalse (TokenizerFile.exists folder) "exists"

                  Expect.throwsT<FileNotFoundException> (fun () -> TokenizerFile.load folder |> ignore) "load"

                  Expect.throwsT<FileNotFoundException>
                      (fun () -> TokenizerFile.load (Path.Combine(folder, "no")) |> ignore)
                      "load")
          }
          test "a file by its own name" {
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "tokenizer.json")
                  File.WriteAllText(file, good.ToJsonString())
                  Expect.isTrue (TokenizerFile.exists folder) "exists"
                  Expect.equal (TokenizerFile.load file).VocabularySize 257 "vocabulary")
          } ]

[<Tests>]
let tests =
    testList "Tokenizer, refusals" [ kinds; options; patterns; shapes; configs; paths ]
