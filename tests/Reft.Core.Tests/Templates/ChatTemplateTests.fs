module Reft.Core.Tests.Templates.ChatTemplateTests

open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures
open Reft.Core.Tests.Templates.TemplateFixtures

let private refuses template (parts: string list) =
    match outcome greeting template with
    | Ok text -> failtest $"expected a refusal of {template}, found '{text}'"
    | Error message ->
        for part in parts do
            Expect.stringContains message part template

/// What cannot be rendered is refused when it is read, with its name and line.
let private refusals =
    [ "x\n{% include 'a' %}", [ "test.jinja: line 2:"; "'include'" ]
      "{% import 'a' as b %}", [ "line 1"; "'import'" ]
      "{% extends 'a' %}", [ "'extends'" ]
      "\n\n{% block a %}{% endblock %}", [ "line 3"; "'block'" ]
      "{% autoescape true %}{% endautoescape %}", [ "'autoescape'" ]
      "{% do x %}", [ "'do'" ]
      "{% if false %}\n{{ x | frobnicate }}{% endif %}", [ "line 2"; "the filter 'frobnicate'" ]
      "{{ x is frobnicated }}", [ "the test 'frobnicated'" ]
      "{{ ''.__class__ }}", [ "line 1"; "'__class__'" ]
      "{{ messages.append(1) }}", [ "line 1"; "'append'"; "unsafe" ]
      "{% for x in messages %}\n{{ 'a'.encode() }}{% endfor %}", [ "line 2"; "'encode'" ]
      "{% if true %}\nx", [ "'if' of line 1"; "'endif'" ]
      "{{ 'a }}", [ "a string is not closed" ]
      "{# a", [ "comment" ]
      "{% raw %}x", [ "'raw'" ]
      "{{ (1 }}", [ "line 1" ]
      "{% break %}", [ "'break'" ]
      "{{ lipsum() }}", [ "'lipsum'" ]
      "\n{{ raise_exception('no ' ~ 'way') }}", [ "line 2"; "no way" ]
      "{{ missing.field }}", [ "'missing' is undefined" ]
      "{{ messages[0].content.foo.bar }}", [ "'foo'" ]
      "{{ '\\ud800' }}", [ "names no character" ] ]

/// Templates that would take all time, memory or stack.
let private hostile =
    [ "{{ 'a' * 10**9 }}"
      "{% set s='9'*4200 %}{% for i in range(9999) %}{% for j in range(99) %}{% set x=s|int %}{% endfor %}{% endfor %}"
      "{% set s='9'*4200 %}{% for i in range(9999) %}{% for j in range(99) %}{% set x=s|float %}{% endfor %}{% endfor %}"
      "{% set a=2**6990-1 %}{% set c=2**6000-12345 %}{% for i in range(9999) %}{% for j in range(99) %}{% set x=a*a%c %}{% endfor %}{% endfor %}"
      "{% set a='a'*8000000 %}{% for i in range(9999) %}{% set x=a.isalpha() %}{% endfor %}"
      "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}"
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
      "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}"
      "{{ range(10**30) }}"
      "{{ range(100001) }}"
      "{{ 10 ** (10 ** 10) }}"
      "{{ [0] * 10**8 }}"
      "{% set ns = namespace(l=[0]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}"
      "{% set ns = namespace(l=[0], m=[0]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}"
      "{% set ns = namespace(l=[0]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}"
      "{% set ns = namespace(g=[1]) %}{% for i in range(100000) %}{% set ns.g = ns.g | map('string') %}{% endfor %}{{ ns.g | list }}"
      "{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns }}"
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"
      "{{ 'x'.center(10**9) }}"
      "{{ '%1000000000d' % 5 }}"
      "{{ 'a\n' * 1000 | indent(10**6) }}"
      "{{ ('a' * 10**6).replace('', 'b' * 10**6) }}"
      "{{ ('a' * 10**6) | replace('a', 'b' * 1000) }}"
      "{{ [1] | tojson(indent=10**9) }}"
      "{{ [1] | batch(10**9, 0) | list }}"
      "{{ [1] | slice(10**9) | list }}"
      "{% for a in range(100000) %}{{ 'x' * 100000 }}{% endfor %}"
      "{% for a in range(100000) %}{{ 'x' * 100000 == 'y' * 100000 }}{% endfor %}"
      String.replicate 100000 "(" |> sprintf "{{ %s"
      String.replicate 100000 "[" |> sprintf "{{ %s"
      String.replicate 100000 "not " |> sprintf "{{ %s1 }}"
      String.replicate 100000 "-" |> sprintf "{{ %s1 }}"
      sprintf "{{ 1%s }}" (String.replicate 100000 "+1")
      sprintf "{{ 1%s }}" (String.replicate 100000 "|int")
      sprintf "{{ x%s }}" (String.replicate 100000 ".y")
      sprintf "{{ 1%s }}" (String.replicate 100000 " if 1")
      sprintf "{{ 1%s }}" (String.replicate 100000 " if 0 else 1")
      String.replicate 50000 "{% if 1 %}"
      String.replicate 1100000 "x" ]

let private write folder name (text: string) =
    let path = Path.Combine(folder, name)

    match Path.GetDirectoryName path with
    | null -> ()
    | parent -> Directory.CreateDirectory parent |> ignore

    File.WriteAllText(path, text)

let private renderFolder (name: string option) (tools: bool) folder =
    let templates = ChatTemplates.load folder

    templates
    |> ChatTemplates.choose name tools
    |> JinjaTemplate.render
        { greeting with
            Variables = templates.SpecialTokens }

[<Tests>]
let tests =
    testList
        "Chat templates"
        [ test "render as jinja2 does" {
              Expect.isGreaterThan ownCases.Length 500 "cases"

              for template, input, expected in ownCases do
                  match outcome input template, expected with
                  | Ok text, Ok wanted -> Expect.equal text wanted template
                  | Error _, Error _ -> ()
                  | found, wanted -> failtest $"{template}: expected {wanted}, found {found}"
          }
          test "what is not supported is refused by name and line" {
              for template, parts in refusals do
                  refuses template parts
          }
          test "a hostile template ends in a complaint" {
              for template in hostile do
                  match outcome greeting template with
                  | Error message -> Expect.stringContains message "test.jinja: line" "names the line"
                  | Ok text ->
                      let shown = template.Substring(0, min 80 template.Length)
                      failtest $"expected a refusal of {shown}, found {text.Length} characters"
          }
          test "chains of a usual length are no depth" {
              Expect.equal (render greeting (sprintf "{{ 0%s }}" (String.replicate 400 " + 1"))) "400" "sum"

              let branches =
                  [ for i in 1..2000 -> $"{{%% elif x == {i} %%}}{i}" ] |> String.concat ""

              Expect.equal
                  (render greeting ("{% set x = 1999 %}{% if false %}" + branches + "{% endif %}"))
                  "1999"
                  "elif"
          }
          test "line ends are one kind, and the last one goes" {
              Expect.equal (render greeting "a\r\nb\rc\n\n") "a\nb\nc\n" "text"
          }
          test "a folder's own file comes before its configuration, and special tokens are variables" {
              inFolder (fun folder ->
                  write
                      folder
                      "tokenizer_config.json"
                      """{"chat_template": "config{{ bos_token }}", "bos_token": {"content": "<s>"}, "eos_token": "</s>", "unk_token": null}"""

                  Expect.equal (renderFolder None false folder) "config<s>" "configuration"
                  write folder "chat_template.jinja" "file{{ bos_token }}{{ eos_token }}{{ unk_token }}"
                  write folder "special_tokens_map.json" """{"bos_token": "<old>", "pad_token": "<pad>"}"""
                  Expect.equal (renderFolder None false folder) "file<s></s>" "file"
                  write folder "additional_chat_templates/tool_use.jinja" "tools"
                  Expect.equal (renderFolder None true folder) "tools" "tools"
                  Expect.equal (renderFolder None false folder) "file<s></s>" "default"
                  Expect.equal (renderFolder (Some "tool_use") false folder) "tools" "by name"

                  Expect.throwsC (fun () -> renderFolder (Some "rag") false folder |> ignore) (fun e ->
                      Expect.stringContains e.Message "'default', 'tool_use'" "names"))
          }
          test "named templates of a configuration" {
              inFolder (fun folder ->
                  write
                      folder
                      "tokenizer_config.json"
                      """{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"""

                  Expect.equal (renderFolder None false folder) "d" "default"
                  Expect.equal (renderFolder None true folder) "t" "tools")
          }
          test "a folder without a template says where it was looked for" {
              inFolder (fun folder ->
                  Expect.throwsC (fun () -> ChatTemplates.load folder |> ignore) (fun e ->
                      Expect.stringContains e.Message "chat_template.jinja" "file"
                      Expect.stringContains e.Message "tokenizer_config.json" "configuration"))
          }
          test "a message that is continued stays open" {
              let talk content =
                  { greeting with
                      Messages =
                          element
                              $$"""[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": {{content}}}]"""
                      ContinueFinalMessage = true }

              let kept =
                  "{% for m in messages %}<{{ m.content if m.content is string else m.content[0].text }}>{% endfor %}"

              let trimmed = "{% for m in messages %}<{{ m.content | trim }}>{% endfor %}"
              Expect.equal (render (talk "\"So \"") kept) "<Hi><So " "as it is"
              Expect.equal (render (talk "\"So \"") trimmed) "<Hi><So" "trimmed"
              Expect.equal (render (talk """[{"type": "text", "text": "So"}]""") kept) "<Hi><So" "parts"

              match
                  outcome
                      { talk "\"So\"" with
                          AddGenerationPrompt = true }
                      kept
              with
              | Error message -> Expect.stringContains message "exclude each other" "both"
              | Ok text -> failtest $"found {text}"

              match outcome (talk "\"So\"") "nothing" with
              | Error message -> Expect.stringContains message "does not appear" "lost"
              | Ok text -> failtest $"found {text}"
          }
          test "a variable cannot take the place of an argument" {
              let input =
                  { greeting with
                      Variables = [ "messages", element "[]" ] }

              match outcome input "x" with
              | Error message -> Expect.stringContains message "'messages'" "name"
              | Ok text -> failtest $"found {text}"
          } ]
