namespace Reft.Core

open System
open System.Globalization
open System.Numerics
open System.Text
open System.Text.Json

/// How json.dumps writes.
type internal JsonStyle =
    {
        /// One level's indentation; none for a single line.
        Indent: string option
        ItemSeparator: string
        KeySeparator: string
        SortKeys: bool
        EnsureAscii: bool
    }

/// JSON to values, and values to JSON as Python's json.dumps writes them.
[<RequireQualifiedAccess>]
module internal TemplateJson =

    let private quoted (style: JsonStyle) (into: StringBuilder) (s: string) =
        into.Append '"' |> ignore

        for c in s do
            match c with
            | '"' -> into.Append "\\\""
            | '\\' -> into.Append @"\\"
            | '\n' -> into.Append @"\n"
            | '\r' -> into.Append @"\r"
            | '\t' -> into.Append @"\t"
            | '\b' -> into.Append @"\b"
            | '\u000c' -> into.Append @"\f"
            | c when c < ' ' || style.EnsureAscii && c > '~' -> into.Append(@"\u").Append((int c).ToString "x4")
            | c -> into.Append c
            |> ignore

        into.Append '"' |> ignore

    let private number (x: float) =
        match PythonNumber.text x with
        | "nan" -> "NaN"
        | "inf" -> "Infinity"
        | "-inf" -> "-Infinity"
        | text -> text

    let private keyText (run: TemplateRun) (key: TemplateValue) =
        match key with
        | TemplateValue.Text s
        | TemplateValue.Markup s -> s
        | TemplateValue.Bool b -> if b then "true" else "false"
        | TemplateValue.Nothing -> "null"
        | TemplateValue.Int n -> n.ToString CultureInfo.InvariantCulture
        | TemplateValue.Float x -> number x
        | _ ->
            run.Fail
                $"tojson: the keys of a dict must be str, int, float, bool or None, not {TemplateValue.typeName key}"

    /// json.dumps.
    let write (run: TemplateRun) (style: JsonStyle) (value: TemplateValue) : string =
        let into = StringBuilder()

        let newLine level =
            match style.Indent with
            | Some indent ->
                run.ChargeText(int64 indent.Length * int64 level)
                into.Append('\n').Insert(into.Length, indent, level) |> ignore
            | None -> ()

        let rec value' level (item: TemplateValue) : unit =
            run.Enter()
            run.Charge 1L

            if into.Length > TemplateLimit.text then
                run.ChargeText(int64 into.Length)

            let many (opening: char) (closing: char) count (each: int -> unit) =
                into.Append opening |> ignore

                for i in 0 .. count - 1 do
                    if i > 0 then
                        into.Append style.ItemSeparator |> ignore

                    newLine (level + 1)
                    each i

                if count > 0 then
                    newLine level

                into.Append closing |> ignore

            match item with
            | TemplateValue.Nothing -> into.Append "null" |> ignore
            | TemplateValue.Bool b -> into.Append(if b then "true" else "false") |> ignore
            | TemplateValue.Int n -> into.Append(n.ToString CultureInfo.InvariantCulture) |> ignore
            | TemplateValue.Float x -> into.Append(number x) |> ignore
            | TemplateValue.Text s
            | TemplateValue.Markup s ->
                run.ChargeText(int64 s.Length)
                quoted style into s
            | TemplateValue.List items
            | TemplateValue.Tuple items -> many '[' ']' items.Items.Length (fun i -> value' (level + 1) items.Items[i])
            | TemplateValue.Dict dict ->
                let order =
                    if style.SortKeys then
                        TemplateOrder.sort run false (Array.indexed dict.Keys) (fun (_, key) -> [ key ])
                        |> Array.map fst
                    else
                        [| 0 .. dict.Keys.Length - 1 |]

                many '{' '}' order.Length (fun i ->
                    let key = keyText run dict.Keys[order[i]]
                    run.ChargeText(int64 key.Length)
                    quoted style into key
                    into.Append style.KeySeparator |> ignore
                    value' (level + 1) dict.Values[order[i]])
            | other -> run.Fail $"tojson: an object of type {TemplateValue.typeName other} cannot be written as JSON"

            run.Leave()

        value' 0 value
        run.ChargeText(int64 into.Length)
        into.ToString()

    let rec private ofElementAt (level: int) (element: JsonElement) : TemplateValue =
        if level > TemplateLimit.valueDepth then
            invalidArg (nameof element) $"the JSON nests too deep: the limit is {TemplateLimit.valueDepth} levels"

        let ofElement = ofElementAt (level + 1)

        match element.ValueKind with
        | JsonValueKind.Object ->
            [| for property in element.EnumerateObject() ->
                   struct (TemplateValue.Text property.Name, ofElement property.Value) |]
            |> TemplateDict
            |> TemplateValue.Dict
        | JsonValueKind.Array ->
            [| for item in element.EnumerateArray() -> ofElement item |]
            |> TemplateItems
            |> TemplateValue.List
        | JsonValueKind.String -> TemplateValue.Text(element.GetString() |> string)
        | JsonValueKind.True -> TemplateValue.Bool true
        | JsonValueKind.False -> TemplateValue.Bool false
        | JsonValueKind.Number ->
            let raw = element.GetRawText()

            if raw.AsSpan().IndexOfAny('.', 'e', 'E') >= 0 then
                TemplateValue.Float(Double.Parse(raw, CultureInfo.InvariantCulture))
            elif raw.Length > 4300 then
                invalidArg (nameof element) $"a number of {raw.Length} digits is too long: the limit is 4300"
            else
                TemplateValue.Int(BigInteger.Parse(raw, CultureInfo.InvariantCulture))
        | _ -> TemplateValue.Nothing

    /// What Python's json.loads makes of it.
    let ofElement (element: JsonElement) : TemplateValue = ofElementAt 1 element
