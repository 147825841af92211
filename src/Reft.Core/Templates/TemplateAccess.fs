namespace Reft.Core

open System.Numerics

/// Attributes, items and slices of values.
[<RequireQualifiedAccess>]
module internal TemplateAccess =

    let private missing (value: TemplateValue) (name: string) =
        let owner =
            match value with
            | TemplateValue.Nothing -> "None"
            | _ -> $"'{TemplateValue.typeName value} object'"

        TemplateValue.Undefined $"{owner} has no attribute '{name}'"

    /// An item by index or key; None where Python has none.
    let private tryItem (run: TemplateRun) (value: TemplateValue) (key: TemplateValue) : TemplateValue option =
        let indexed (length: int) (item: int -> TemplateValue) =
            match key with
            | TemplateValue.Int _
            | TemplateValue.Bool _ ->
                let n = key.AsInteger
                let n = if n.Sign < 0 then n + BigInteger length else n

                if n.Sign >= 0 && n < BigInteger length then
                    Some(item (int n))
                else
                    None
            | _ -> None

        match value with
        | TemplateValue.Dict dict -> TemplateValue.tryFind run key dict
        | TemplateValue.List items
        | TemplateValue.Tuple items -> indexed items.Items.Length (fun i -> items.Items[i])
        | TemplateValue.Range range -> indexed range.Length range.Item
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            run.ChargeText(int64 s.Length)
            indexed (PythonText.length s) (fun i -> TemplateValue.Text(PythonText.slice i (i + 1) s))
        | _ -> None

    /// <c>value.name</c>: Python's attribute first, then the key.
    let rec attribute (run: TemplateRun) (value: TemplateValue) (name: string) : TemplateValue =
        TemplateValue.demand run value

        match TemplateMethods.tryFind attribute run value name with
        | Some found -> found
        | None ->
            match tryItem run value (TemplateValue.Text name) with
            | Some found -> found
            | None -> missing value name

    /// <c>value[key]</c>: the item first, then the attribute.
    let item (run: TemplateRun) (value: TemplateValue) (key: TemplateValue) : TemplateValue =
        TemplateValue.demand run value

        match tryItem run value key with
        | Some found -> found
        | None ->
            match key with
            | TemplateValue.Text name
            | TemplateValue.Markup name ->
                match TemplateMethods.tryFind attribute run value name with
                | Some found -> found
                | None -> missing value name
            | TemplateValue.Undefined message -> TemplateValue.Undefined message
            | TemplateValue.Int n -> TemplateValue.Undefined $"{TemplateValue.typeName value} object has no element {n}"
            | _ -> TemplateValue.Undefined $"{TemplateValue.typeName value} object has no such element"

    /// Where a slice of so many items begins, how many it takes and how far apart, as Python has it.
    let private indices
        (run: TemplateRun)
        (length: int)
        (first: TemplateValue, last: TemplateValue, step: TemplateValue)
        : struct (int * int * int) =
        let number (value: TemplateValue) =
            match value with
            | TemplateValue.Nothing -> None
            | TemplateValue.Int _
            | TemplateValue.Bool _ -> Some(TemplateBinding.int run "a slice" value)
            | other ->
                TemplateValue.demand run other
                run.Fail $"slice indices must be integers or None, not '{TemplateValue.typeName other}'"

        let step = number step |> Option.defaultValue 1

        if step = 0 then
            run.Fail "slice step cannot be zero"

        let low, high = if step > 0 then 0, length else -1, length - 1

        let place preset value =
            match number value with
            | None -> preset
            | Some n -> max low (min high (if n < 0 then n + length else n))

        let start = place (if step > 0 then low else high) first
        let stop = place (if step > 0 then high else low) last

        let count =
            if step > 0 then
                max 0 ((stop - start + step - 1) / step)
            else
                max 0 ((start - stop - step - 1) / -step)

        struct (start, count, step)

    /// <c>value[first:last:step]</c>.
    let slice (run: TemplateRun) (value: TemplateValue) (bounds: TemplateValue * TemplateValue * TemplateValue) =
        TemplateValue.demand run value

        let taken (items: 'a[]) : 'a[] =
            let struct (start, count, step) = indices run items.Length bounds
            run.Charge(int64 count)
            Array.init count (fun i -> items[start + i * step])

        let text (s: string) =
            run.ChargeText(int64 s.Length)
            let struct (start, count, step) = indices run (PythonText.length s) bounds

            if step = 1 then
                PythonText.slice start (start + count) s
            else
                run.Charge(int64 s.Length)
                taken (PythonText.points s) |> String.concat ""

        match value with
        | TemplateValue.List items -> TemplateValue.list run (taken items.Items)
        | TemplateValue.Tuple items -> TemplateValue.tuple run (taken items.Items)
        | TemplateValue.Text s -> TemplateValue.Text(text s)
        | TemplateValue.Markup s -> TemplateValue.Markup(text s)
        | TemplateValue.Range range ->
            let struct (start, count, step) = indices run range.Length bounds
            let first = range.Start + range.Step * BigInteger start
            let step = range.Step * BigInteger step

            TemplateValue.Range
                { Start = first
                  Stop = first + step * BigInteger count
                  Step = step }
        | other -> TemplateValue.Undefined $"a value of type '{TemplateValue.typeName other}' has no slices"

    /// An attribute by a path with dots, whose whole numbers are indices, as filters take it.
    let path (run: TemplateRun) (attributes: TemplateValue) (value: TemplateValue) : TemplateValue =
        match attributes with
        | TemplateValue.Text path ->
            (value, path.Split '.')
            ||> Array.fold (fun value part ->
                match PythonText.isDecimal part, PythonNumber.tryInteger 10 part with
                | true, Some n -> item run value (TemplateValue.Int n)
                | _ -> item run value (TemplateValue.Text part))
        | TemplateValue.Nothing -> value
        | other -> item run value other
