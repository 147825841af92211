namespace Reft.Core

open System
open System.Globalization
open System.Text

/// Values as text: Python's str() and repr().
[<RequireQualifiedAccess>]
module internal TemplateText =

    let private isPrintable (rune: Rune) =
        rune.Value = 0x20
        || match Rune.GetUnicodeCategory rune with
           | UnicodeCategory.Control
           | UnicodeCategory.Format
           | UnicodeCategory.Surrogate
           | UnicodeCategory.PrivateUse
           | UnicodeCategory.OtherNotAssigned
           | UnicodeCategory.LineSeparator
           | UnicodeCategory.ParagraphSeparator
           | UnicodeCategory.SpaceSeparator -> false
           | _ -> true

    let private quoted (into: StringBuilder) (s: string) =
        let quote =
            if s.Contains '\'' && not (s.Contains '"') then
                '"'
            else
                '\''

        into.Append quote |> ignore

        for rune in s.EnumerateRunes() do
            match rune.Value with
            | 0x5C -> into.Append @"\\"
            | 0x0A -> into.Append @"\n"
            | 0x0D -> into.Append @"\r"
            | 0x09 -> into.Append @"\t"
            | c when c = int quote -> into.Append('\\').Append quote
            | _ when isPrintable rune -> into.Append(rune.ToString())
            | c when c < 0x100 -> into.Append(@"\x").Append(c.ToString "x2")
            | c when c < 0x10000 -> into.Append(@"\u").Append(c.ToString "x4")
            | c -> into.Append(@"\U").Append(c.ToString "x8")
            |> ignore

        into.Append quote |> ignore

    let rec private write (run: TemplateRun) (into: StringBuilder) (value: TemplateValue) : unit =
        run.Enter()
        run.Charge 1L

        if into.Length > TemplateLimit.text then
            run.ChargeText(int64 into.Length)

        let append (s: string) = into.Append s |> ignore

        let separated (items: TemplateValue[]) =
            items
            |> Array.iteri (fun i item ->
                if i > 0 then
                    append ", "

                write run into item)

        let listed (items: TemplateValue[]) =
            append "["
            separated items
            append "]"

        match value with
        | TemplateValue.Undefined _ -> append "Undefined"
        | TemplateValue.Nothing -> append "None"
        | TemplateValue.Bool b -> append (if b then "True" else "False")
        | TemplateValue.Int n -> append (n.ToString CultureInfo.InvariantCulture)
        | TemplateValue.Float x -> append (PythonNumber.text x)
        | TemplateValue.Text s ->
            run.ChargeText(int64 s.Length)
            quoted into s
        | TemplateValue.Markup s ->
            run.ChargeText(int64 s.Length)
            append "Markup("
            quoted into s
            append ")"
        | TemplateValue.List items -> listed items.Items
        | TemplateValue.Tuple items ->
            append "("
            separated items.Items
            append (if items.Items.Length = 1 then ",)" else ")")
        | TemplateValue.Dict dict ->
            append "{"

            dict.Keys
            |> Array.iteri (fun i key ->
                if i > 0 then
                    append ", "

                write run into key
                append ": "
                write run into dict.Values[i])

            append "}"
        | TemplateValue.Range range ->
            append $"range({range.Start}, {range.Stop}"
            append (if range.Step.IsOne then ")" else $", {range.Step})")
        | TemplateValue.View(name, items) ->
            append $"{name}("
            listed items.Items
            append ")"
        | TemplateValue.Namespace attributes ->
            append "<Namespace {"

            attributes
            |> Seq.iteri (fun i attribute ->
                if i > 0 then
                    append ", "

                quoted into attribute.Key
                append ": "
                write run into attribute.Value)

            append "}>"
        | TemplateValue.Generator(name, _) ->
            run.Fail $"a generator ({name}) has no text that is the same every time: add the filter 'list'"
        | TemplateValue.Function f ->
            match f.Name with
            | name when name.StartsWith "macro " -> append $"<Macro '{name.Substring 6}'>"
            | name -> run.Fail $"'{name}' is to be called: it has no text that is the same every time"

        run.Leave()

    /// Python's repr().
    let repr (run: TemplateRun) (value: TemplateValue) : string =
        let into = StringBuilder()
        write run into value
        run.ChargeText(int64 into.Length)
        into.ToString()

    /// Python's str(), which is what printing shows.
    let str (run: TemplateRun) (value: TemplateValue) : string =
        match value with
        | TemplateValue.Undefined _ -> ""
        | TemplateValue.Text s
        | TemplateValue.Markup s -> s
        | _ -> repr run value
