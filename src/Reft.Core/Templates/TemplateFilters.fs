namespace Reft.Core

open System

/// The filters after <c>|</c>.
[<RequireQualifiedAccess>]
module internal TemplateFilters =

    type private Filter = TemplateRun -> TemplateValue -> TemplateCall -> TemplateValue

    let private bind run name parameters required call =
        TemplateBinding.bind run $"the filter '{name}'" parameters required call

    /// A filter over a value's text. What is marked safe would need HTML's escapes.
    let private overText
        name
        (parameters: string list)
        (required: int)
        (apply: TemplateRun -> string -> TemplateValue option[] -> TemplateValue)
        : string * Filter =
        name,
        fun run value call ->
            let arguments = bind run name parameters required call

            match value with
            | TemplateValue.Markup _ when parameters <> [] ->
                run.Fail $"the filter '{name}' over a string that is marked safe is not supported"
            | _ -> ()

            let text = TemplateText.str run value
            run.ChargeText(int64 text.Length)

            match apply run text arguments, value with
            | TemplateValue.Text result, TemplateValue.Markup _ -> TemplateValue.Markup result
            | result, _ -> result

    let private text1 name (f: string -> string) =
        overText name [] 0 (fun _ s _ -> TemplateValue.Text(f s))

    /// Upper case after white space, a hyphen or an opening bracket; lower case elsewhere.
    let private title (s: string) =
        let result = Text.StringBuilder s.Length
        let mutable first = true

        for rune in s.EnumerateRunes() do
            let point = rune.ToString()

            let separates =
                point.Length = 1 && (PythonText.isSpace point[0] || "-({[<".Contains point[0])

            result.Append(
                if separates then point
                elif first then PythonText.upper point
                else PythonText.lower point
            )
            |> ignore

            first <- separates

        result.ToString()

    let private indent (run: TemplateRun) (s: string) (arguments: TemplateValue option[]) =
        let indention =
            match arguments[0] with
            | Some(TemplateValue.Text own) -> own
            | width ->
                let width = width |> TemplateBinding.orElse 4 (TemplateBinding.int run "indent")
                run.ChargeText(int64 (max 0 width))
                String(' ', max 0 width)

        let first = arguments[1] |> TemplateBinding.orElse false TemplateValue.isTrue
        let blank = arguments[2] |> TemplateBinding.orElse false TemplateValue.isTrue
        let lines = PythonText.splitLines false (s + "\n")
        run.ChargeText(int64 s.Length + int64 lines.Length * int64 indention.Length)

        lines
        |> List.mapi (fun i line ->
            if i = 0 && not first || i > 0 && line = "" && not blank then
                line
            else
                indention + line)
        |> String.concat "\n"

    let private json (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments =
            bind run "tojson" [ "ensure_ascii"; "indent"; "separators"; "sort_keys" ] 0 call

        let flag i =
            arguments[i] |> TemplateBinding.orElse false TemplateValue.isTrue

        let indent =
            arguments[1]
            |> TemplateBinding.orNone None (fun value ->
                match value with
                | TemplateValue.Text own -> Some own
                | width ->
                    let width = max 0 (TemplateBinding.int run "tojson" width)
                    run.ChargeText(int64 width)
                    Some(String(' ', width)))

        let items, keys =
            match arguments[2] with
            | None
            | Some TemplateValue.Nothing -> (if indent.IsSome then "," else ", "), ": "
            | Some(TemplateValue.List pair)
            | Some(TemplateValue.Tuple pair) when pair.Items.Length = 2 ->
                TemplateBinding.text run "tojson" pair.Items[0], TemplateBinding.text run "tojson" pair.Items[1]
            | _ -> run.Fail "tojson: expected two separators, that of items and that of keys"

        TemplateValue.Text(
            TemplateJson.write
                run
                { Indent = indent
                  ItemSeparator = items
                  KeySeparator = keys
                  SortKeys = flag 3
                  EnsureAscii = flag 0 }
                value
        )

    let private toInt (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "int" [ "default"; "base" ] 0 call
        let preset = arguments[0] |> Option.defaultValue (TemplateValue.int 0)

        let radix =
            arguments[1] |> TemplateBinding.orElse 10 (TemplateBinding.int run "int")

        let truncated (x: float) =
            if Double.IsFinite x then
                TemplateValue.Int(Numerics.BigInteger x)
            else
                preset

        match value with
        | TemplateValue.Int _
        | TemplateValue.Bool _ -> TemplateValue.Int value.AsInteger
        | TemplateValue.Float x -> truncated x
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            // Digits become a number one after the other, each by a pass over those before it.
            let digits = min 4300L (int64 s.Length)
            run.Charge(int64 s.Length + digits * digits / 256L)

            match PythonNumber.tryInteger radix s with
            | Some n -> TemplateValue.integer run n
            | None -> PythonNumber.tryFloat s |> Option.map truncated |> Option.defaultValue preset
        | TemplateValue.Undefined message -> run.Fail message
        | _ -> preset

    let private toFloat (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "float" [ "default" ] 0 call
        let preset = arguments[0] |> Option.defaultValue (TemplateValue.Float 0.0)

        match value with
        | TemplateValue.Int _
        | TemplateValue.Bool _ -> TemplateValue.Float(float value.AsInteger)
        | TemplateValue.Float _ -> value
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            run.Charge(int64 s.Length)

            PythonNumber.tryFloat s
            |> Option.map TemplateValue.Float
            |> Option.defaultValue preset
        | TemplateValue.Undefined message -> run.Fail message
        | _ -> preset

    let private round (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "round" [ "precision"; "method" ] 0 call

        let precision =
            arguments[0] |> TemplateBinding.orElse 0 (TemplateBinding.int run "round")

        let way =
            arguments[1]
            |> TemplateBinding.orElse "common" (TemplateBinding.text run "round")

        if precision < 0 || precision > 15 then
            run.Fail $"round: a precision of {precision} is not supported: expected 0 … 15"

        match value, way with
        | (TemplateValue.Int _ | TemplateValue.Bool _), "common" -> TemplateValue.Int value.AsInteger
        | TemplateValue.Float x, "common" when Double.IsFinite x && abs x < 1e15 ->
            // The exact decimal value decides, as in Python.
            TemplateValue.Float(Double.Parse(x.ToString($"F{precision}", Globalization.CultureInfo.InvariantCulture)))
        | TemplateValue.Float x, "common" -> TemplateValue.Float x
        | (TemplateValue.Int _ | TemplateValue.Bool _ | TemplateValue.Float _), ("ceil" | "floor") ->
            let scale = Math.Pow(10.0, precision)

            let x =
                match value with
                | TemplateValue.Float x -> x
                | _ -> float value.AsInteger

            TemplateValue.Float((if way = "ceil" then ceil (x * scale) else floor (x * scale)) / scale)
        | _, ("common" | "ceil" | "floor") ->
            TemplateValue.demand run value
            run.Fail $"round: expected a number, found a value of type '{TemplateValue.typeName value}'"
        | _ -> run.Fail "round: the method must be common, ceil or floor"

    let private truncate (run: TemplateRun) (s: string) (arguments: TemplateValue option[]) =
        let number i preset =
            arguments[i]
            |> TemplateBinding.orNone preset (TemplateBinding.int run "truncate")

        let length = number 0 255
        let killWords = arguments[1] |> TemplateBinding.orElse false TemplateValue.isTrue

        let ending =
            arguments[2]
            |> TemplateBinding.orElse "..." (TemplateBinding.text run "truncate")

        let leeway = number 3 5
        let room = length - PythonText.length ending

        if room < 0 || leeway < 0 then
            run.Fail "truncate: the length is shorter than the ending, or the leeway is negative"

        if PythonText.length s <= length + leeway then
            s
        else
            let cut = PythonText.slice 0 room s

            let kept =
                if killWords then
                    cut
                else
                    List.head (PythonText.splitRight " " 1 cut)

            kept + ending

    let private urlEncode (run: TemplateRun) (value: TemplateValue) (_: TemplateCall) =
        match value with
        | TemplateValue.Text s ->
            run.ChargeText(9L * int64 s.Length)
            TemplateValue.Text((Uri.EscapeDataString s).Replace("%2F", "/"))
        | _ -> run.Fail "the filter 'urlencode' is supported for strings only"

    let private textFilters: (string * Filter) list =
        [ text1 "upper" PythonText.upper
          text1 "lower" PythonText.lower
          text1 "capitalize" PythonText.capitalize
          text1 "title" title
          "string",
          (fun run value call ->
              bind run "string" [] 0 call |> ignore

              match value with
              | TemplateValue.Markup _ -> value
              | _ -> TemplateValue.Text(TemplateText.str run value))
          overText "trim" [ "chars" ] 0 (fun run s arguments ->
              let chars =
                  arguments[0]
                  |> TemplateBinding.orNone None (TemplateBinding.text run "trim" >> Some)

              TemplateValue.Text(PythonText.strip chars s))
          overText "replace" [ "old"; "new"; "count" ] 2 (fun run s arguments ->
              let most =
                  arguments[2] |> TemplateBinding.orNone -1 (TemplateBinding.int run "replace")

              let before = TemplateText.str run arguments[0].Value
              TemplateValue.Text(TemplateMethods.replace run s before (TemplateText.str run arguments[1].Value) most))
          overText "indent" [ "width"; "first"; "blank" ] 0 (fun run s arguments ->
              TemplateValue.Text(indent run s arguments))
          overText "truncate" [ "length"; "killwords"; "end"; "leeway" ] 0 (fun run s arguments ->
              TemplateValue.Text(truncate run s arguments))
          overText "center" [ "width" ] 0 (fun run s arguments ->
              let width = arguments[0] |> Option.defaultValue (TemplateValue.int 80)

              match TemplateMethods.tryFind TemplateAccess.attribute run (TemplateValue.Text s) "center" with
              | Some(TemplateValue.Function center) ->
                  center.Call
                      { TemplateCall.Empty with
                          Positional = [ width ] }
              | _ -> TemplateValue.Text s)
          overText "wordcount" [] 0 (fun _ s _ ->
              let mutable words = 0
              let mutable inside = false

              for rune in s.EnumerateRunes() do
                  let isWord =
                      Text.Rune.IsLetterOrDigit rune
                      || Text.Rune.IsNumber rune
                      || rune.Value = int '_'

                  if isWord && not inside then
                      words <- words + 1

                  inside <- isWord

              TemplateValue.int words)
          "format",
          (fun run value call ->
              let format = TemplateText.str run value

              let values =
                  if call.Named.IsEmpty then
                      TemplateValue.tuple run (Array.ofList call.Positional)
                  elif call.Positional.IsEmpty then
                      call.Named
                      |> List.map (fun (name, value) -> struct (TemplateValue.Text name, value))
                      |> Array.ofList
                      |> TemplateValue.dict run
                  else
                      run.Fail "format: arguments by position and by name cannot be mixed"

              TemplateValue.Text(PythonFormat.percent run format values))
          "safe",
          (fun run value call ->
              bind run "safe" [] 0 call |> ignore
              TemplateValue.Markup(TemplateText.str run value))
          for name in [ "escape"; "e"; "forceescape" ] do
              name,
              (fun run value call ->
                  bind run name [] 0 call |> ignore

                  match value with
                  | TemplateValue.Markup _ when name <> "forceescape" -> value
                  | _ ->
                      let text = TemplateText.str run value
                      run.ChargeText(6L * int64 text.Length)
                      TemplateValue.Markup(PythonText.escapeHtml text))
          "tojson", json
          "int", toInt
          "float", toFloat
          "round", round
          "urlencode", urlEncode
          "abs",
          (fun run value call ->
              bind run "abs" [] 0 call |> ignore

              match value with
              | TemplateValue.Int _
              | TemplateValue.Bool _ -> TemplateValue.Int(Numerics.BigInteger.Abs value.AsInteger)
              | TemplateValue.Float x -> TemplateValue.Float(abs x)
              | other ->
                  TemplateValue.demand run other
                  run.Fail $"abs: expected a number, found a value of type '{TemplateValue.typeName other}'")
          "default",
          (fun run value call ->
              let arguments = bind run "default" [ "default_value"; "boolean" ] 0 call
              let falseToo = arguments[1] |> TemplateBinding.orElse false TemplateValue.isTrue

              if value.IsUndefined || falseToo && not (TemplateValue.isTrue value) then
                  arguments[0] |> Option.defaultValue (TemplateValue.Text "")
              else
                  value)
          "attr",
          (fun run value call ->
              match (TemplateBinding.one run "attr" "name" call) with
              | TemplateValue.Text name ->
                  TemplateValue.demand run value

                  TemplateMethods.tryFind TemplateAccess.attribute run value name
                  |> Option.defaultValue (TemplateValue.Undefined $"there is no attribute '{name}'")
              | _ -> run.Fail "attr: expected a name") ]

    let private table: Map<string, Filter> =
        let own = Map(textFilters @ SequenceFilters.table)

        own |> Map.add "d" own["default"] |> Map.add "count" own["length"]

    let private withCalls = [ "map"; "select"; "reject"; "selectattr"; "rejectattr" ]

    let isKnown (name: string) : bool =
        table.ContainsKey name || List.contains name withCalls

    /// The names of all filters, for messages.
    let names: string = String.Join(", ", Seq.append table.Keys withCalls |> Seq.sort)

    /// What a filter makes of a value.
    let rec apply (run: TemplateRun) (name: string) (value: TemplateValue) (call: TemplateCall) : TemplateValue =
        match name with
        | "map" -> SequenceFilters.map run (apply run) value call
        | "select" -> SequenceFilters.select run name true false value call
        | "reject" -> SequenceFilters.select run name false false value call
        | "selectattr" -> SequenceFilters.select run name true true value call
        | "rejectattr" -> SequenceFilters.select run name false true value call
        | _ ->
            match Map.tryFind name table with
            | Some filter -> filter run value call
            | None -> run.Fail $"the filter '{name}' is not supported; supported: {names}"
