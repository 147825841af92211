namespace Reft.Core

open System
open System.Globalization
open System.Text

/// Python's two ways to put values into a text: <c>'%s' % x</c> and <c>'{}'.format(x)</c>.
[<RequireQualifiedAccess>]
module internal PythonFormat =

    let private invariant = CultureInfo.InvariantCulture

    let private toFloat (run: TemplateRun) (value: TemplateValue) : float =
        match value with
        | TemplateValue.Float x -> x
        | TemplateValue.Int _
        | TemplateValue.Bool _ -> float value.AsInteger
        | other ->
            TemplateValue.demand run other
            run.Fail $"a number is required, found a value of type '{TemplateValue.typeName other}'"

    let private precisionLimit = 60

    let private fixedPoint (run: TemplateRun) (precision: int) (value: TemplateValue) =
        let x = toFloat run value

        if not (Double.IsFinite x) then
            PythonNumber.text x
        elif precision > precisionLimit then
            run.Fail $"a precision of {precision} is not supported: the limit is {precisionLimit}"
        else
            x.ToString($"F{precision}", invariant)

    let private exponent (precision: int) (x: float) =
        let text = x.ToString($"e{precision}", invariant)
        // .NET writes three digits of the exponent, Python two at least.
        let e = text.IndexOf 'e'
        let power = text.Substring(e + 2).TrimStart('0').PadLeft(2, '0')
        $"{text.Substring(0, e + 2)}{power}"

    let private integer (run: TemplateRun) (value: TemplateValue) =
        match value with
        | TemplateValue.Int _
        | TemplateValue.Bool _ -> value.AsInteger
        | TemplateValue.Float x when Double.IsFinite x -> Numerics.BigInteger x
        | other ->
            TemplateValue.demand run other
            run.Fail $"a whole number is required, found a value of type '{TemplateValue.typeName other}'"

    let private widthLimit = 10_000

    let private pad (run: TemplateRun) (align: char) (fill: char) (width: int) (s: string) =
        if width > widthLimit then
            run.Fail $"a width of {width} is not supported: the limit is {widthLimit}"

        let missing = width - PythonText.length s

        if missing <= 0 then
            s
        else
            match align with
            | '<' -> s + String(fill, missing)
            | '^' -> String(fill, missing / 2) + s + String(fill, missing - missing / 2)
            | '=' when s.StartsWith '-' || s.StartsWith '+' -> s.Substring(0, 1) + String(fill, missing) + s.Substring 1
            | _ -> String(fill, missing) + s

    let private signed (plus: bool) (blank: bool) (s: string) =
        if s.StartsWith '-' then s
        elif plus then "+" + s
        elif blank then " " + s
        else s

    let private readInt (s: string) (at: byref<int>) =
        let start = at

        while at < s.Length && Char.IsAsciiDigit s[at] && at - start < 8 do
            at <- at + 1

        if at > start then
            Some(Int32.Parse(s.AsSpan(start, at - start), NumberStyles.None, invariant))
        else
            None

    /// <c>format % value</c>.
    let percent (run: TemplateRun) (format: string) (value: TemplateValue) : string =
        let result = StringBuilder()

        let mutable positional =
            match value with
            | TemplateValue.Tuple items -> List.ofArray items.Items
            | other -> [ other ]

        let mutable usedNames = false

        let take () =
            match positional with
            | first :: rest ->
                positional <- rest
                first
            | [] -> run.Fail "not enough arguments for format string"

        let mutable at = 0

        while at < format.Length do
            let c = format[at]
            at <- at + 1

            if c <> '%' then
                result.Append c |> ignore
            else
                let named =
                    if at < format.Length && format[at] = '(' then
                        match format.IndexOf(')', at) with
                        | -1 -> run.Fail "incomplete format key"
                        | stop ->
                            let key = format.Substring(at + 1, stop - at - 1)
                            at <- stop + 1
                            usedNames <- true

                            match value with
                            | TemplateValue.Dict dict ->
                                match TemplateValue.tryFind run (TemplateValue.Text key) dict with
                                | Some found -> Some found
                                | None -> run.Fail $"the key '{key}' of a format string is missing"
                            | _ -> run.Fail "format requires a mapping"
                    else
                        None

                let flagsStart = at

                while at < format.Length && "#0- +".Contains format[at] do
                    at <- at + 1

                let flags = format.Substring(flagsStart, at - flagsStart)
                let width = readInt format &at |> Option.defaultValue 0

                let precision =
                    if at < format.Length && format[at] = '.' then
                        at <- at + 1
                        Some(readInt format &at |> Option.defaultValue 0)
                    else
                        None

                if at >= format.Length then
                    run.Fail "incomplete format"

                let kind = format[at]
                at <- at + 1

                if kind = '%' then
                    result.Append '%' |> ignore
                else
                    let item () =
                        match named with
                        | Some value -> value
                        | None -> take ()

                    let plus, blank = flags.Contains '+', flags.Contains ' '

                    let cut (s: string) =
                        match precision with
                        | Some most when most < PythonText.length s -> PythonText.slice 0 most s
                        | _ -> s

                    let isNumber, text =
                        match kind with
                        | 's' -> false, cut (TemplateText.str run (item ()))
                        | 'r' -> false, cut (TemplateText.repr run (item ()))
                        | 'd'
                        | 'i'
                        | 'u' when precision.IsNone ->
                            true, signed plus blank ((integer run (item ())).ToString invariant)
                        | 'f'
                        | 'F' -> true, signed plus blank (fixedPoint run (precision |> Option.defaultValue 6) (item ()))
                        | _ ->
                            run.Fail $"the format '%%{kind}' is not supported; supported: %%s, %%r, %%d, %%f and %%%%"

                    let align, fill =
                        if flags.Contains '-' then '<', ' '
                        elif flags.Contains '0' && isNumber then '=', '0'
                        else '>', ' '

                    result.Append(pad run align fill width text) |> ignore

                run.ChargeText(int64 result.Length / 16L)

        let leftOver =
            match value with
            | TemplateValue.Tuple _ -> not positional.IsEmpty
            | TemplateValue.Dict _ -> false
            | _ -> not usedNames && not positional.IsEmpty

        if leftOver then
            run.Fail "not all arguments converted during string formatting"

        run.ChargeText(int64 result.Length)
        result.ToString()

    /// A value by a format specification, the part after the colon.
    let private specified (run: TemplateRun) (spec: string) (value: TemplateValue) =
        if spec = "" then
            TemplateText.str run value
        else
            let mutable at = 0

            let fill, align =
                if spec.Length > 1 && "<>=^".Contains spec[1] then
                    at <- 2
                    spec[0], Some spec[1]
                elif "<>=^".Contains spec[0] then
                    at <- 1
                    ' ', Some spec[0]
                else
                    ' ', None

            let plus, blank =
                if at < spec.Length && "+- ".Contains spec[at] then
                    at <- at + 1
                    spec[at - 1] = '+', spec[at - 1] = ' '
                else
                    false, false

            let zeros = at < spec.Length && spec[at] = '0'
            let width = readInt spec &at |> Option.defaultValue 0

            let groups =
                at < spec.Length
                && spec[at] = ','
                && (at <- at + 1
                    true)

            let precision =
                if at < spec.Length && spec[at] = '.' then
                    at <- at + 1
                    readInt spec &at
                else
                    None

            let kind = if at < spec.Length then spec.Substring at else ""

            let grouped (s: string) =
                if not groups then
                    s
                else
                    let point = s.IndexOf '.'

                    let whole, rest =
                        if point < 0 then
                            s, ""
                        else
                            s.Substring(0, point), s.Substring point

                    let sign, digits =
                        if whole.StartsWith '-' then
                            "-", whole.Substring 1
                        else
                            "", whole

                    let result = StringBuilder digits

                    for i in digits.Length - 3 .. -3 .. 1 do
                        result.Insert(i, ",") |> ignore

                    $"{sign}{result}{rest}"

            let isNumber, text =
                match kind, value with
                | ("" | "d"), (TemplateValue.Int _ | TemplateValue.Bool _) when precision.IsNone ->
                    true, signed plus blank (grouped (value.AsInteger.ToString invariant))
                | "f", _ ->
                    true, signed plus blank (grouped (fixedPoint run (precision |> Option.defaultValue 6) value))
                | "%", _ ->
                    let scaled = TemplateValue.Float(100.0 * toFloat run value)
                    true, signed plus blank (fixedPoint run (precision |> Option.defaultValue 6) scaled + "%")
                | "e", _ when precision |> Option.forall (fun p -> p <= precisionLimit) ->
                    true, signed plus blank (exponent (precision |> Option.defaultValue 6) (toFloat run value))
                | ("" | "s"), TemplateValue.Text s when not groups ->
                    false,
                    (match precision with
                     | Some most when most < PythonText.length s -> PythonText.slice 0 most s
                     | _ -> s)
                | _ ->
                    run.Fail
                        $"the format '{{:{spec}}}' is not supported for a value of type '{TemplateValue.typeName value}'"

            match align with
            | Some align -> pad run align fill width text
            | None when zeros && isNumber -> pad run '=' '0' width text
            | None -> pad run (if isNumber then '>' else '<') ' ' width text

    /// <c>text.format(…)</c>. <paramref name="lookUp"/> reads attributes and items.
    let format
        (run: TemplateRun)
        (lookUp: TemplateValue -> string -> TemplateValue)
        (text: string)
        (call: TemplateCall)
        =
        let result = StringBuilder()
        let mutable next = 0
        let mutable at = 0

        while at < text.Length do
            let c = text[at]
            at <- at + 1

            if (c = '{' || c = '}') && at < text.Length && text[at] = c then
                result.Append c |> ignore
                at <- at + 1
            elif c = '}' then
                run.Fail "format: single '}' in a format string"
            elif c = '{' then
                let stop = text.IndexOf('}', at)

                if stop < 0 then
                    run.Fail "format: expected '}' before the end of a format string"

                let field = text.Substring(at, stop - at)
                at <- stop + 1

                if field.Contains '{' || field.Contains '[' || field.Contains '!' then
                    run.Fail $"format: the field '{{{field}}}' is not supported"

                let path, spec =
                    match field.IndexOf ':' with
                    | -1 -> field, ""
                    | colon -> field.Substring(0, colon), field.Substring(colon + 1)

                let parts = path.Split '.'

                let first =
                    match Int32.TryParse(parts[0], NumberStyles.None, invariant) with
                    | _ when parts[0] = "" ->
                        next <- next + 1
                        List.tryItem (next - 1) call.Positional
                    | true, i -> List.tryItem i call.Positional
                    | _ -> call.Named |> List.tryFind (fst >> (=) parts[0]) |> Option.map snd

                match first with
                | None -> run.Fail $"format: there is no argument for the field '{{{field}}}'"
                | Some first ->
                    let value = Seq.fold lookUp first (Seq.skip 1 parts)
                    result.Append(specified run spec value) |> ignore
            else
                result.Append c |> ignore

            run.ChargeText(int64 result.Length / 16L)

        run.ChargeText(int64 result.Length)
        result.ToString()
