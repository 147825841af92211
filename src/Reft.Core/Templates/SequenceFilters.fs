namespace Reft.Core

open System
open System.Numerics

/// The filters over lists, dicts and whatever else can be walked through.
[<RequireQualifiedAccess>]
module internal SequenceFilters =

    type private Filter = TemplateRun -> TemplateValue -> TemplateCall -> TemplateValue

    let private bind run name parameters required call =
        TemplateBinding.bind run $"the filter '{name}'" parameters required call

    let private flag (value: TemplateValue option) =
        value |> TemplateBinding.orElse false TemplateValue.isTrue

    /// Texts without their case.
    let private caseless (run: TemplateRun) (value: TemplateValue) =
        match value with
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            run.ChargeText(int64 s.Length)
            TemplateValue.Text(PythonText.lower s)
        | other -> other

    /// The key by which items are sorted or told apart.
    let private key (run: TemplateRun) (caseSensitive: bool) (attribute: TemplateValue option) (item: TemplateValue) =
        let found =
            match attribute with
            | Some path -> TemplateAccess.path run path item
            | None -> item

        if caseSensitive then found else caseless run found

    let private sort (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "sort" [ "reverse"; "case_sensitive"; "attribute" ] 0 call

        let attributes =
            match arguments[2] with
            | Some(TemplateValue.Text many) -> [ for one in many.Split ',' -> Some(TemplateValue.Text one) ]
            | other -> [ other ]

        TemplateOrder.sort run (flag arguments[0]) (TemplateValue.toArray run value) (fun item ->
            attributes
            |> List.map (fun attribute -> key run (flag arguments[1]) attribute item))
        |> TemplateValue.list run

    let private dictSort (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "dictsort" [ "case_sensitive"; "by"; "reverse" ] 0 call

        let byValue =
            match
                arguments[1]
                |> TemplateBinding.orElse "key" (TemplateBinding.text run "dictsort")
            with
            | "key" -> false
            | "value" -> true
            | _ -> run.Fail "dictsort: sorts by 'key' or by 'value'"

        match value with
        | TemplateValue.Dict dict ->
            TemplateOrder.sort run (flag arguments[2]) (Array.zip dict.Keys dict.Values) (fun (name, value) ->
                let by = if byValue then value else name
                [ (if flag arguments[0] then by else caseless run by) ])
            |> Array.map (fun (name, value) -> TemplateValue.tuple run [| name; value |])
            |> TemplateValue.list run
        | other ->
            TemplateValue.demand run other
            run.Fail $"dictsort: expected a dict, found a value of type '{TemplateValue.typeName other}'"

    let private unique (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "unique" [ "case_sensitive"; "attribute" ] 0 call
        let items = TemplateValue.iterate run value

        TemplateValue.generator
            "unique"
            (seq {
                let seen = Collections.Generic.HashSet<TemplateValue>()

                for item in items do
                    let key = key run (flag arguments[0]) arguments[1] item
                    run.Charge(1L + 2L * key.Size)

                    if not (TemplateValue.isHashable key) then
                        run.Fail $"unique: values of type '{TemplateValue.typeName key}' cannot be told apart"

                    if seen.Add key then
                        item
            })

    let private extreme name (isBetter: int -> bool) (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run name [ "case_sensitive"; "attribute" ] 0 call
        let key = key run (flag arguments[0]) arguments[1]

        match List.ofArray (TemplateValue.toArray run value) with
        | [] -> TemplateValue.Undefined "No aggregated item, sequence was empty."
        | first :: rest ->
            ((first, key first), rest)
            ||> List.fold (fun (best, bestKey) item ->
                let itemKey = key item

                if isBetter (TemplateOrder.compare run itemKey bestKey) then
                    item, itemKey
                else
                    best, bestKey)
            |> fst

    let private sum (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "sum" [ "attribute"; "start" ] 0 call
        let start = arguments[1] |> Option.defaultValue (TemplateValue.int 0)

        if start.IsText then
            run.Fail "sum: strings cannot be summed: use the filter 'join'"

        (start, TemplateValue.toArray run value)
        ||> Array.fold (fun total item ->
            let item =
                arguments[0]
                |> TemplateBinding.orNone item (fun path -> TemplateAccess.path run path item)

            TemplateOperators.arithmetic run "+" total item)

    let private join (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "join" [ "d"; "attribute" ] 0 call
        let separator = arguments[0] |> TemplateBinding.orElse "" (TemplateText.str run)

        let parts =
            TemplateValue.toArray run value
            |> Array.map (fun item ->
                arguments[1]
                |> TemplateBinding.orNone item (fun path -> TemplateAccess.path run path item)
                |> TemplateText.str run)

        run.ChargeText(
            Array.sumBy (fun (part: string) -> int64 part.Length) parts
            + int64 separator.Length * int64 parts.Length
        )

        TemplateValue.Text(String.Join(separator, parts))

    let private reverse (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        bind run "reverse" [] 0 call |> ignore

        match value with
        | TemplateValue.Text _
        | TemplateValue.Markup _ ->
            TemplateAccess.slice run value (TemplateValue.Nothing, TemplateValue.Nothing, TemplateValue.int -1)
        | _ -> TemplateValue.generator "reverse" (Array.rev (TemplateValue.toArray run value))

    let private last (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        bind run "last" [] 0 call |> ignore

        match value with
        | TemplateValue.Generator _ -> run.Fail "last: a generator has no last item: add the filter 'list' before it"
        | _ ->
            match Array.tryLast (TemplateValue.toArray run value) with
            | Some item -> item
            | None -> TemplateValue.Undefined "No last item, sequence was empty."

    let private batch (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "batch" [ "linecount"; "fill_with" ] 1 call
        let size = TemplateBinding.int run "batch" arguments[0].Value

        if size < 1 then
            run.Fail "batch: expected at least one item per line"

        let fill = arguments[1] |> TemplateBinding.orNone None Some

        TemplateValue.toArray run value
        |> Array.chunkBySize size
        |> Array.map (fun line ->
            match fill with
            | Some fill when line.Length < size ->
                run.Charge(int64 size)
                TemplateValue.list run (Array.append line (Array.create (size - line.Length) fill))
            | _ -> TemplateValue.list run line)
        |> TemplateValue.generator "batch"

    let private slices (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments = bind run "slice" [ "slices"; "fill_with" ] 1 call
        let count = TemplateBinding.int run "slice" arguments[0].Value

        if count < 1 then
            run.Fail "slice: expected at least one slice"

        let fill = arguments[1] |> TemplateBinding.orNone None Some
        let items = TemplateValue.toArray run value
        run.Charge(int64 count)
        let size, longer = items.Length / count, items.Length % count

        Array.init count (fun i ->
            let start = i * size + min i longer
            let part = Array.sub items start (size + (if i < longer then 1 else 0))

            match fill with
            | Some fill when i >= longer -> TemplateValue.list run (Array.append part [| fill |])
            | _ -> TemplateValue.list run part)
        |> TemplateValue.generator "slice"

    let private groupBy (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        let arguments =
            bind run "groupby" [ "attribute"; "default"; "case_sensitive" ] 1 call

        let caseSensitive = flag arguments[2]

        let found (item: TemplateValue) =
            match TemplateAccess.path run arguments[0].Value item with
            | TemplateValue.Undefined _ as missing -> arguments[1] |> Option.defaultValue missing
            | found -> found

        let key item =
            if caseSensitive then
                found item
            else
                caseless run (found item)

        let groups = ResizeArray<TemplateValue * ResizeArray<TemplateValue>>()

        for item in TemplateOrder.sort run false (TemplateValue.toArray run value) (fun item -> [ key item ]) do
            let key = key item

            if groups.Count > 0 && TemplateValue.equal run (fst groups[groups.Count - 1]) key then
                (snd groups[groups.Count - 1]).Add item
            else
                groups.Add((key, ResizeArray [ item ]))

        [| for _, items in groups ->
               // The group shows its first item's key, with its case.
               TemplateValue.tuple run [| found items[0]; TemplateValue.list run (items.ToArray()) |] |]
        |> TemplateValue.list run

    let private items (run: TemplateRun) (value: TemplateValue) (call: TemplateCall) =
        bind run "items" [] 0 call |> ignore

        match value with
        | TemplateValue.Undefined _ -> TemplateValue.generator "items" Seq.empty
        | TemplateValue.Dict dict ->
            Array.map2 (fun name value -> TemplateValue.tuple run [| name; value |]) dict.Keys dict.Values
            |> TemplateValue.generator "items"
        | _ -> run.Fail "Can only get item pairs from a mapping."

    /// The filters that call no other filter or test.
    let table: (string * Filter) list =
        [ "length",
          (fun run value call ->
              bind run "length" [] 0 call |> ignore
              TemplateValue.int (TemplateOperators.length run value))
          "list",
          (fun run value call ->
              bind run "list" [] 0 call |> ignore
              TemplateValue.list run (TemplateValue.toArray run value))
          "first",
          (fun run value call ->
              bind run "first" [] 0 call |> ignore

              TemplateValue.iterate run value
              |> Seq.tryHead
              |> Option.defaultValue (TemplateValue.Undefined "No first item, sequence was empty."))
          "last", last
          "join", join
          "sort", sort
          "dictsort", dictSort
          "unique", unique
          "min", extreme "min" (fun order -> order < 0)
          "max", extreme "max" (fun order -> order > 0)
          "sum", sum
          "reverse", reverse
          "batch", batch
          "slice", slices
          "groupby", groupBy
          "items", items ]

    /// Applies a filter to every item, or takes an attribute of each.
    let map
        (run: TemplateRun)
        (filter: string -> TemplateValue -> TemplateCall -> TemplateValue)
        (value: TemplateValue)
        (call: TemplateCall)
        : TemplateValue =
        let each: TemplateValue -> TemplateValue =
            match call.Positional with
            | TemplateValue.Text name :: rest ->
                let call = { call with Positional = rest }
                fun item -> filter name item call
            | [] when List.exists (fst >> (=) "attribute") call.Named ->
                let arguments = bind run "map" [ "attribute"; "default" ] 1 call
                let preset = arguments[1] |> TemplateBinding.orNone None Some

                fun item ->
                    match TemplateAccess.path run arguments[0].Value item, preset with
                    | TemplateValue.Undefined _, Some preset -> preset
                    | found, _ -> found
            | _ -> run.Fail "map: expected the name of a filter, or attribute=…"

        if TemplateValue.isTrue value then
            TemplateValue.generator
                "map"
                (TemplateValue.iterate run value
                 |> Seq.map (fun item ->
                     run.Charge 1L
                     each item))
        else
            TemplateValue.generator "map" Seq.empty

    /// Keeps the items, or those with an attribute, for which a test holds or does not hold.
    let select
        (run: TemplateRun)
        (name: string)
        (wanted: bool)
        (byAttribute: bool)
        (value: TemplateValue)
        (call: TemplateCall)
        : TemplateValue =
        let subject, rest =
            match byAttribute, call.Positional with
            | false, rest -> id, rest
            | true, path :: rest -> TemplateAccess.path run path, rest
            | true, [] -> run.Fail $"{name}: the name of the attribute is missing"

        let holds: TemplateValue -> bool =
            match rest with
            | [] -> TemplateValue.isTrue
            | TemplateValue.Text test :: rest ->
                let call = { call with Positional = rest }
                fun item -> TemplateTests.apply run test item call
            | _ -> run.Fail $"{name}: expected the name of a test"

        if TemplateValue.isTrue value then
            TemplateValue.generator
                name
                (TemplateValue.iterate run value
                 |> Seq.filter (fun item ->
                     run.Charge 1L
                     holds (subject item) = wanted))
        else
            TemplateValue.generator name Seq.empty
