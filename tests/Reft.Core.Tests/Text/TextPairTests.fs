module Reft.Core.Tests.Text.TextPairTests

open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

/// Single bytes, so that "abc" is 97, 98, 99; `frame` is the post-processor.
let private tokenizer (frame: string) =
    bytesOnly [] |> replace "post_processor" frame |> loadJson

let private bert =
    tokenizer """{"type":"BertProcessing","sep":["s",2],"cls":["c",1]}"""

let private roberta =
    tokenizer
        """{"type":"RobertaProcessing","sep":["s",2],"cls":["c",0],"trim_offsets":true,"add_prefix_space":false}"""

let private template =
    tokenizer
        """{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
            "pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},
                    {"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"[SEP]","type_id":1}}],
            "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[2],"tokens":["[SEP]"]}}}"""

/// The bytes' ids of a text in the byte alphabet of the fixture.
let private ids (tokenizer: TextTokenizer) text =
    tokenizer.EncodeCompletion text |> Array.toList

let private row (tokenizer: TextTokenizer) text second length =
    let struct (ids, segments) = tokenizer.EncodeRow(text, second, length)
    List.ofArray ids, List.ofArray segments

[<Tests>]
let tests =
    testList
        "Text pairs"
        [ for name, tokenizer in [ "BertProcessing", bert; "TemplateProcessing", template ] do
              test $"{name}: the second text and its separator are of segment 1" {
                  let a, b = ids tokenizer "abc", ids tokenizer "de"

                  Expect.equal
                      (row tokenizer "abc" (Some "de") 100)
                      ([ 1; yield! a; 2; yield! b; 2 ], [ 0; 0; 0; 0; 0; 1; 1; 1 ])
                      "a pair"

                  Expect.equal (row tokenizer "abc" None 100) ([ 1; yield! a; 2 ], [ 0; 0; 0; 0; 0 ]) "a text"
              }

          test "RobertaProcessing: two separators, one segment" {
              let a, b = ids roberta "abc", ids roberta "de"

              Expect.equal
                  (row roberta "abc" (Some "de") 100)
                  ([ 0; yield! a; 2; 2; yield! b; 2 ], List.replicate 9 0)
                  "a pair"
          }

          test "no post-processor: one after the other" {
              let plain = bytesOnly [] |> loadJson
              let a, b = ids plain "ab", ids plain "c"
              Expect.equal (row plain "ab" (Some "c") 100) (a @ b, [ 0; 0; 1 ]) "a pair"
          }

          // As tokenizers' LongestFirst does: the longer one alone, then both to halves, the second longer by one.
          for first, second, length, expected in
              [ 3, 2, 8, (3, 2)
                3, 2, 7, (2, 2)
                9, 2, 8, (3, 2)
                2, 9, 8, (2, 3)
                9, 9, 8, (2, 3)
                9, 8, 8, (3, 2)
                9, 9, 9, (3, 3)
                4, 0, 6, (3, 0)
                5, 5, 3, (0, 0) ] do
              test $"{first} and {second} bytes in {length} tokens" {
                  let text c count = String.replicate count c
                  let a, b = List.head (ids bert "a"), List.head (ids bert "b")
                  let found, segments = row bert (text "a" first) (Some(text "b" second)) length

                  let count id =
                      found |> List.filter ((=) id) |> List.length

                  Expect.equal (count a, count b) expected "what is kept of each"
                  Expect.equal found.Length segments.Length "a segment for each"
                  Expect.equal (List.last found) 2 "the separator stays"
              }

          test "a long text keeps its beginning and its separator" {
              let a = ids bert "abcdef"
              Expect.equal (row bert "abcdef" None 5 |> fst) [ 1; yield! List.truncate 3 a; 2 ] "a text"
          }

          test "a template without places for two texts" {
              let single =
                  tokenizer
                      """{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{}}"""

              Expect.equal (row single "ab" None 9 |> fst) (ids single "ab") "a text"

              Expect.throwsT<System.IO.InvalidDataException>
                  (fun () -> row single "a" (Some "b") 9 |> ignore)
                  "no template for two"
          }

          test "too few places for the special tokens" {
              Expect.throwsT<System.ArgumentException>
                  (fun () -> row bert "a" (Some "b") 2 |> ignore)
                  "three special tokens"
          } ]
