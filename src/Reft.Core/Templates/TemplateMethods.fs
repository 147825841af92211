namespace Reft.Core

open System

/// The methods of texts, lists and dicts that a template may call.
[<RequireQualifiedAccess>]
module internal TemplateMethods =

    let private bind = TemplateBinding.bind

    let private texts run (parts: string list) =
        parts |> List.map TemplateValue.Text |> Array.ofList |> TemplateValue.list run

    let private strip (cut: string option -> string -> string) (run: TemplateRun) (name: string) (s: string) call =
        let arguments = bind run name [ "chars" ] 0 call

        let chars =
            arguments[0]
            |> TemplateBinding.orNone None (TemplateBinding.text run name >> Some)

        run.Charge(1L + int64 s.Length / 2L)
        TemplateValue.Text(cut chars s)

    let private split fromRight (run: TemplateRun) (name: string) (s: string) call =
        let arguments = bind run name [ "sep"; "maxsplit" ] 0 call
        let most = arguments[1] |> TemplateBinding.orElse -1 (TemplateBinding.int run name)
        run.Charge(int64 s.Length)

        match
            arguments[0]
            |> TemplateBinding.orNone None (TemplateBinding.text run name >> Some)
        with
        | Some "" -> run.Fail $"{name}: the separator is empty"
        | Some separator when fromRight -> texts run (PythonText.splitRight separator most s)
        | Some separator -> texts run (PythonText.split separator most s)
        | None when fromRight -> texts run (PythonText.splitSpaceRight most s)
        | None -> texts run (PythonText.splitSpace most s)

    /// Start and stop of a search, as a slice has them.
    let private window (run: TemplateRun) name (s: string) (arguments: TemplateValue option[]) =
        let length = PythonText.length s

        let place (preset: int) (value: TemplateValue option) =
            let n = value |> TemplateBinding.orNone preset (TemplateBinding.int run name)
            max 0 (min length (if n < 0 then n + length else n))

        let first = place 0 arguments[1]

        let last =
            if arguments.Length > 2 then
                place length arguments[2]
            else
                length

        first,
        last,
        (if first <= last then
             Some(PythonText.slice first last s)
         else
             None)

    let private find (last: bool) (run: TemplateRun) (name: string) (s: string) call =
        let arguments = bind run name [ "sub"; "start"; "end" ] 1 call
        let part = TemplateBinding.text run name arguments[0].Value
        run.ChargeText(int64 s.Length)

        match window run name s arguments with
        | first, _, Some within ->
            let unit =
                if last then
                    within.AsSpan().LastIndexOf(part.AsSpan())
                else
                    within.IndexOf(part, StringComparison.Ordinal)

            if unit < 0 then
                -1
            else
                first + PythonText.pointOf within unit
        | _ -> -1

    let private ends (test: string -> string -> bool) (run: TemplateRun) (name: string) (s: string) call =
        let arguments = bind run name [ "prefix"; "start"; "end" ] 1 call
        run.ChargeText(int64 s.Length)

        let holds part =
            match window run name s arguments with
            | _, _, Some within -> test within (TemplateBinding.text run name part)
            | _ -> false

        match arguments[0].Value with
        | TemplateValue.Tuple parts -> parts.Items |> Array.exists holds
        | part -> holds part
        |> TemplateValue.Bool

    let private count (run: TemplateRun) name (s: string) call =
        let arguments = bind run name [ "sub"; "start"; "end" ] 1 call
        let part = TemplateBinding.text run name arguments[0].Value
        run.Charge(int64 s.Length)

        match window run name s arguments with
        | _, _, Some within when part = "" -> PythonText.length within + 1
        | _, _, Some within -> (PythonText.split part -1 within).Length - 1
        | _ -> 0

    /// Python's str.replace.
    let replace (run: TemplateRun) (s: string) (before: string) (after: string) (most: int) : string =
        run.Charge(int64 s.Length)

        let parts =
            if before = "" then
                let points = PythonText.points s

                let cuts =
                    if most < 0 then
                        points.Length + 1
                    else
                        min most (points.Length + 1)
                // The new text stands before every code point, and at the end.
                [ ""
                  yield! Seq.take (max 0 (cuts - 1)) points
                  if cuts > 0 then
                      String.concat "" (Seq.skip (cuts - 1) points) ]
            else
                PythonText.split before most s

        if before = "" && most = 0 then
            s
        else
            run.ChargeText(int64 s.Length + int64 parts.Length * int64 after.Length)
            String.Join(after, parts)

    let private justify (run: TemplateRun) name (s: string) call (place: int -> int) =
        let arguments = bind run name [ "width"; "fillchar" ] 1 call
        let width = TemplateBinding.int run name arguments[0].Value

        let fill =
            arguments[1] |> TemplateBinding.orElse " " (TemplateBinding.text run name)

        if PythonText.length fill <> 1 then
            run.Fail $"{name}: the fill character must be exactly one character long"

        let missing = width - PythonText.length s

        if missing <= 0 then
            s
        else
            run.ChargeText(int64 s.Length + int64 missing * int64 fill.Length)
            let before = place missing
            String.replicate before fill + s + String.replicate (missing - before) fill

    let private partition (last: bool) (run: TemplateRun) name (s: string) call =
        let arguments = bind run name [ "sep" ] 1 call
        let separator = TemplateBinding.text run name arguments[0].Value
        run.ChargeText(int64 s.Length)

        if separator = "" then
            run.Fail $"{name}: the separator is empty"

        let parts =
            match
                if last then
                    PythonText.splitRight separator 1 s
                else
                    PythonText.split separator 1 s
            with
            | [ before; after ] -> [ before; separator; after ]
            | _ when last -> [ ""; ""; s ]
            | _ -> [ s; ""; "" ]

        parts |> List.map TemplateValue.Text |> Array.ofList |> TemplateValue.tuple run

    let private joinAll (run: TemplateRun) (separator: string) (items: TemplateValue) =
        let parts =
            TemplateValue.toArray run items
            |> Array.map (fun item ->
                match item with
                | TemplateValue.Text s
                | TemplateValue.Markup s -> s
                | other -> run.Fail $"join: expected strings, found a value of type '{TemplateValue.typeName other}'")

        run.ChargeText(
            int64 separator.Length * int64 (max 0 (parts.Length - 1))
            + Array.sumBy (fun (part: string) -> int64 part.Length) parts
        )

        String.Join(separator, parts)

    /// The methods of a text that are not supported, though Python has them.
    let private refusedOfText =
        set
            [ "encode"
              "format_map"
              "translate"
              "maketrans"
              "expandtabs"
              "isprintable"
              "istitle"
              "isidentifier" ]

    let private simple: Map<string, string -> TemplateValue> =
        let text f = f >> TemplateValue.Text
        let bool f = f >> TemplateValue.Bool

        Map
            [ "upper", text PythonText.upper
              "lower", text PythonText.lower
              "casefold", text (fun s -> (PythonText.lower (s.Replace("ß", "ss"))))
              "title", text PythonText.title
              "capitalize", text PythonText.capitalize
              "swapcase", text PythonText.swapCase
              "isalpha", bool PythonText.isAlpha
              "isalnum", bool PythonText.isAlphaNumeric
              "isdigit", bool PythonText.isDigit
              "isdecimal", bool PythonText.isDecimal
              "isnumeric", bool PythonText.isNumeric
              "isspace", bool PythonText.isSpaces
              "islower", bool PythonText.isLower
              "isupper", bool PythonText.isUpper
              "isascii", bool Text.Ascii.IsValid ]

    let private withArguments: Map<string, TemplateRun -> string -> string -> TemplateCall -> TemplateValue> =
        Map
            [ "strip", strip PythonText.strip
              "lstrip", strip PythonText.stripStart
              "rstrip", strip PythonText.stripEnd
              "split", split false
              "rsplit", split true
              "find", (fun run name s call -> TemplateValue.int (find false run name s call))
              "rfind", (fun run name s call -> TemplateValue.int (find true run name s call))
              "index",
              (fun run name s call ->
                  match find false run name s call with
                  | -1 -> run.Fail "substring not found"
                  | at -> TemplateValue.int at)
              "rindex",
              (fun run name s call ->
                  match find true run name s call with
                  | -1 -> run.Fail "substring not found"
                  | at -> TemplateValue.int at)
              "count", (fun run name s call -> TemplateValue.int (count run name s call))
              "startswith", ends (fun s part -> s.StartsWith(part, StringComparison.Ordinal))
              "endswith", ends (fun s part -> s.EndsWith(part, StringComparison.Ordinal))
              "partition", partition false
              "rpartition", partition true
              "splitlines",
              (fun run name s call ->
                  let keep =
                      (bind run name [ "keepends" ] 0 call)[0]
                      |> TemplateBinding.orElse false TemplateValue.isTrue

                  run.Charge(int64 s.Length)
                  texts run (PythonText.splitLines keep s))
              "replace",
              (fun run name s call ->
                  let arguments = bind run name [ "old"; "new"; "count" ] 2 call
                  let text = TemplateBinding.text run name
                  let most = arguments[2] |> TemplateBinding.orElse -1 (TemplateBinding.int run name)
                  TemplateValue.Text(replace run s (text arguments[0].Value) (text arguments[1].Value) most))
              "removeprefix",
              (fun run name s call ->
                  let part =
                      TemplateBinding.text run name (TemplateBinding.one run name "prefix" call)

                  TemplateValue.Text(
                      if s.StartsWith(part, StringComparison.Ordinal) then
                          s.Substring part.Length
                      else
                          s
                  ))
              "removesuffix",
              (fun run name s call ->
                  let part =
                      TemplateBinding.text run name (TemplateBinding.one run name "suffix" call)

                  TemplateValue.Text(
                      if s.EndsWith(part, StringComparison.Ordinal) then
                          s.Substring(0, s.Length - part.Length)
                      else
                          s
                  ))
              "join",
              (fun run name s call -> TemplateValue.Text(joinAll run s (TemplateBinding.one run name "iterable" call)))
              "ljust", (fun run name s call -> TemplateValue.Text(justify run name s call (fun _ -> 0)))
              "rjust", (fun run name s call -> TemplateValue.Text(justify run name s call id))
              "center",
              (fun run name s call ->
                  let width =
                      call.Positional
                      |> List.tryHead
                      |> TemplateBinding.orElse 0 (TemplateBinding.int run name)

                  // Python gives the odd space to the left exactly when the width is odd.
                  TemplateValue.Text(justify run name s call (fun missing -> missing / 2 + (missing &&& width &&& 1))))
              "zfill",
              (fun run name s call ->
                  let width = TemplateBinding.int run name (TemplateBinding.one run name "width" call)
                  let missing = max 0 (width - PythonText.length s)
                  run.ChargeText(int64 missing + int64 s.Length)
                  let signed = s.StartsWith '-' || s.StartsWith '+'
                  let sign, digits = if signed then s.Substring(0, 1), s.Substring 1 else "", s
                  TemplateValue.Text(sign + String('0', missing) + digits)) ]

    let private ofText lookUp (run: TemplateRun) (s: string) (name: string) =
        match Map.tryFind name simple with
        | Some f ->
            Some(fun call ->
                bind run name [] 0 call |> ignore
                run.Charge(1L + int64 s.Length)
                run.ChargeText(int64 s.Length)
                f s)
        | None when name = "format" -> Some(fun call -> TemplateValue.Text(PythonFormat.format run (lookUp run) s call))
        | None ->
            match Map.tryFind name withArguments with
            | Some f -> Some(f run name s)
            | None when refusedOfText.Contains name -> run.Fail $"the method '{name}' of a string is not supported"
            | None -> None

    let private positionIn (run: TemplateRun) (items: TemplateValue[]) (name: string) call =
        let value = (TemplateBinding.one run name "value" call)

        match items |> Array.tryFindIndex (fun item -> TemplateValue.equal run item value) with
        | Some i -> TemplateValue.int i
        | None -> run.Fail "the value is not in the list"

    let private ofSequence (run: TemplateRun) (items: TemplateValue[]) (name: string) =
        match name with
        | "index" -> Some(positionIn run items name)
        | "count" ->
            Some(fun call ->
                let value = (TemplateBinding.one run name "value" call)

                items
                |> Array.filter (fun item -> TemplateValue.equal run item value)
                |> Array.length
                |> TemplateValue.int)
        | _ -> None

    let private ofDict (run: TemplateRun) (dict: TemplateDict) (name: string) =
        let none call = bind run name [] 0 call |> ignore

        match name with
        | "get" ->
            Some(fun call ->
                let arguments = bind run name [ "key"; "default" ] 1 call

                match TemplateValue.tryFind run arguments[0].Value dict with
                | Some found -> found
                | None -> arguments[1] |> Option.defaultValue TemplateValue.Nothing)
        | "keys" ->
            Some(fun call ->
                none call
                TemplateValue.view run "dict_keys" dict.Keys)
        | "values" ->
            Some(fun call ->
                none call
                TemplateValue.view run "dict_values" dict.Values)
        | "items" ->
            Some(fun call ->
                none call

                Array.map2 (fun key value -> TemplateValue.tuple run [| key; value |]) dict.Keys dict.Values
                |> TemplateValue.view run "dict_items")
        | "copy" ->
            Some(fun call ->
                none call
                TemplateValue.Dict dict)
        | "fromkeys" -> run.Fail "the method 'fromkeys' of a dict is not supported"
        | _ -> None

    let private changing =
        set [ "append"; "clear"; "pop"; "reverse"; "insert"; "sort"; "extend"; "remove" ]

    let private changingDict = set [ "clear"; "pop"; "popitem"; "setdefault"; "update" ]

    /// What Jinja's sandbox gives for what must not be touched: it prints as nothing, and its use fails.
    let private unsafe (name: string) (value: TemplateValue) =
        Some(
            TemplateValue.Undefined
                $"access to attribute '{name}' of '{TemplateValue.typeName value}' object is unsafe: a template must not change its data"
        )

    /// The method or attribute of that name; None where Python's type has none.
    let tryFind
        (lookUp: TemplateRun -> TemplateValue -> string -> TemplateValue)
        (run: TemplateRun)
        (value: TemplateValue)
        (name: string)
        : TemplateValue option =
        let method found =
            found
            |> Option.map (fun call -> TemplateValue.Function(TemplateFunction(name, call)))

        match value with
        | TemplateValue.Text s -> method (ofText lookUp run s name)
        | TemplateValue.Markup s ->
            match ofText lookUp run s name with
            | Some _ when not (List.contains name [ "startswith"; "endswith"; "find"; "count" ]) ->
                run.Fail
                    $"the method '{name}' of a string that is marked safe is not supported: take the filter 'safe' away"
            | found -> method found
        | TemplateValue.List items ->
            if changing.Contains name then unsafe name value
            elif name = "copy" then method (Some(fun _ -> value))
            else method (ofSequence run items.Items name)
        | TemplateValue.Tuple items -> method (ofSequence run items.Items name)
        | TemplateValue.Dict dict ->
            if changingDict.Contains name then
                unsafe name value
            else
                method (ofDict run dict name)
        | TemplateValue.Namespace attributes ->
            match attributes.TryGetValue name with
            | true, found -> Some found
            | _ -> None
        | TemplateValue.Function f -> f.Attribute name
        | TemplateValue.Range range ->
            match name with
            | "start" -> Some(TemplateValue.Int range.Start)
            | "stop" -> Some(TemplateValue.Int range.Stop)
            | "step" -> Some(TemplateValue.Int range.Step)
            | _ -> None
        | _ -> None
