namespace Reft.Core

/// Python's order of values: numbers, texts by code points, lists and tuples item by item, and nothing else.
[<RequireQualifiedAccess>]
module internal TemplateOrder =

    let rec private compareIn (run: TemplateRun) (symbol: string) (a: TemplateValue) (b: TemplateValue) : int =
        match a, b with
        | (TemplateValue.Int _ | TemplateValue.Bool _), (TemplateValue.Int _ | TemplateValue.Bool _) ->
            a.AsInteger.CompareTo b.AsInteger
        | TemplateValue.Float x, TemplateValue.Float y ->
            if x < y then -1
            elif x > y then 1
            else 0
        | TemplateValue.Float x, (TemplateValue.Int _ | TemplateValue.Bool _) ->
            -(compareIn run symbol b a)
            |> fun order -> if System.Double.IsNaN x then 0 else order
        | (TemplateValue.Int _ | TemplateValue.Bool _), TemplateValue.Float y ->
            if System.Double.IsNaN y then
                0
            elif System.Double.IsInfinity y then
                (if y > 0.0 then -1 else 1)
            else
                let whole = System.Numerics.BigInteger(floor y)
                let order = a.AsInteger.CompareTo whole
                if order = 0 && floor y < y then -1 else order
        | (TemplateValue.Text x | TemplateValue.Markup x), (TemplateValue.Text y | TemplateValue.Markup y) ->
            run.Charge(min a.Size b.Size)
            PythonText.compare x y
        | TemplateValue.List x, TemplateValue.List y
        | TemplateValue.Tuple x, TemplateValue.Tuple y ->
            let differing =
                Seq.zip x.Items y.Items
                |> Seq.tryFind (fun (p, q) -> not (TemplateValue.equal run p q))

            match differing with
            | Some(p, q) -> compareIn run symbol p q
            | None -> compare x.Items.Length y.Items.Length
        | _ ->
            TemplateValue.demand run a
            TemplateValue.demand run b

            run.Fail
                $"'{symbol}' not supported between instances of '{TemplateValue.typeName a}' and '{TemplateValue.typeName b}'"

    let private isNan (value: TemplateValue) =
        match value with
        | TemplateValue.Float x -> System.Double.IsNaN x
        | _ -> false

    /// Whether the comparison with that sign holds.
    let holds (run: TemplateRun) (symbol: string) (a: TemplateValue) (b: TemplateValue) : bool =
        let order = compareIn run symbol a b

        if isNan a || isNan b then
            false
        else
            match symbol with
            | "<" -> order < 0
            | "<=" -> order <= 0
            | ">" -> order > 0
            | _ -> order >= 0

    let compare (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) : int = compareIn run "<" a b

    /// Sorts stably by keys, the first one first.
    let sort (run: TemplateRun) (descending: bool) (items: 'T[]) (keys: 'T -> TemplateValue list) : 'T[] =
        run.Charge(int64 items.Length)

        let rec order (a: TemplateValue list) (b: TemplateValue list) =
            match a, b with
            | x :: xs, y :: ys ->
                run.Charge 1L

                if TemplateValue.equal run x y then order xs ys
                elif descending then compareIn run "<" y x
                else compareIn run "<" x y
            | _ -> 0

        // Not Array.Sort, which wraps what a comparison throws.
        let rec merge (a: (TemplateValue list * 'T) list) (b: (TemplateValue list * 'T) list) sorted =
            match a, b with
            | x :: xs, y :: ys ->
                if order (fst x) (fst y) <= 0 then
                    merge xs b (x :: sorted)
                else
                    merge a ys (y :: sorted)
            | rest, []
            | [], rest -> List.rev sorted @ rest

        let rec sorted (many: (TemplateValue list * 'T) list) =
            match many with
            | []
            | [ _ ] -> many
            | _ ->
                let left, right = List.splitAt (many.Length / 2) many
                merge (sorted left) (sorted right) []

        [ for item in items -> keys item, item ]
        |> sorted
        |> List.map snd
        |> Array.ofList
