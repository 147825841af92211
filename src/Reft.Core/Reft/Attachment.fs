namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>A placement with its parameters bound: one edit per group.</summary>
[<NoEquality; NoComparison>]
type internal BoundPlacement =
    {
        /// Its place in the spec.
        Number: int
        Placement: Placement
        /// One per group.
        Edits: Edit[]
    }

/// Binding placements, and putting their edits into a model's taps.
[<RequireQualifiedAccess>]
module internal Attachment =

    /// What binding says of parameters that do not fit names them without their place: it goes in front.
    let private bindOne (placement: Placement) (name: string) (own: Parameters) =
        try
            placement.What.Bind own
        with
        | :? KeyNotFoundException as e ->
            invalidArg "theta" $"the parameters of {name} do not fit {placement.What.Form}: {e.Message}"
        | :? Runtime.InteropServices.ExternalException as e ->
            let found =
                own.Entries
                |> Seq.map (fun p -> $"{name}.{p.Name} [" + String.Join(", ", p.Value.shape) + "]")
                |> String.concat ", "

            invalidArg
                "theta"
                $"the shapes of the parameters of {name} do not fit {placement.What.Form}: found {found}. {e.Message}"

    let bind (spec: ReftSpec) (theta: Parameters) =
        let edits = Dictionary<string, Edit>()

        // Placements that share parameters share what binding computes from them.
        let edit (placement: Placement) name =
            match edits.TryGetValue name with
            | true, edit -> edit
            | _ ->
                let edit = bindOne placement name (theta.Sub name)
                edits[name] <- edit
                edit

        List.zip spec (ReftSpec.parameterNames spec)
        |> List.mapi (fun number (placement, names) ->
            { Number = number
              Placement = placement
              Edits = names |> List.map (edit placement) |> List.toArray })

    let private refuseOverlap (context: Context) (site: Site) (rows: int64 seq) =
        let seen = HashSet<int64>()

        for row in rows do
            if not (seen.Add row) then
                invalidOp
                    $"two edits at {site} meet in row {row / int64 context.Length}, column {row % int64 context.Length + int64 context.Offset}: within one spec edits must not overlap. Choose positions that stay apart in short prompts too, add the interventions with +, or attach them one after another."

    /// Rows are picked, edited in fp32, rounded once and written back.
    let private editRows (headDim: int) (range: HeadRange option) (edits: (Edit * Context * Tensor) list) (h: Tensor) =
        let edit (h: Tensor) =
            let flat = h.reshape (-1L, h.shape[2])

            let edited =
                edits
                |> List.fold
                    (fun (flat: Tensor) (edit, context, rows: Tensor) ->
                        let picked = flat.index_select(0L, rows).``to`` torch.float32
                        let changed = Intervention.apply context picked edit
                        flat.index_copy (0L, rows, changed.``to`` flat.dtype))
                    flat

            edited.view h.shape

        match range with
        | None -> edit h
        | Some range ->
            let start, width =
                int64 range.First * int64 headDim, int64 range.Count * int64 headDim

            let stop = start + width

            torch.cat (
                ResizeArray
                    [ h.narrow (2L, 0L, start)
                      edit (h.narrow(2L, start, width).contiguous())
                      h.narrow (2L, stop, h.shape[2] - stop) ],
                2L
            )

    /// What an edit sees of the context: where it acts, the batch row of each of its rows, and noise of its own.
    let private contextOf (context: Context) (bound: BoundPlacement) group (placed: PlacedRows) =
        { context with
            Site = Some bound.Placement.Site
            Rows = placed.Rows
            Slots = placed.Slots
            SlotCounts = placed.Counts
            Random = context.Random |> Option.map (Rng.fork bound.Number >> Rng.fork group) }

    let attach (bound: BoundPlacement list) (context: Context) (model: Transformer) =
        // Placements of the same positions resolve once, however many layers they have.
        let resolved =
            Dictionary<struct (Positions * Phase * Tying * ShortPrompt), (PlacedRows * Tensor)[]>()

        let rows (placement: Placement) groups =
            let key =
                struct (placement.Where, placement.When, placement.Tie, placement.ShortPrompt)

            match resolved.TryGetValue key with
            | true, rows -> rows
            | _ ->
                let rows =
                    PlacedRows.resolve context placement groups
                    |> Array.map (fun placed ->
                        placed, torch.tensor(placed.Flat, dtype = torch.int64).``to`` model.Device)

                resolved[key] <- rows
                rows

        let active =
            bound
            |> List.map (fun b -> b, rows b.Placement b.Edits.Length)
            |> List.filter (fun (_, rows) -> rows |> Array.exists (fun (placed, _) -> placed.Flat.Length > 0))

        let byLayer =
            active |> List.groupBy (fun (b, _) -> b.Placement.Site.Layer) |> Map.ofList

        let tapOf layer (earlier: Tap) : Tap =
            match byLayer.TryFind layer with
            | None -> earlier
            | Some placements ->
                let edits =
                    placements
                    |> List.groupBy (fun (b, _) -> b.Placement.Site.Component)
                    |> List.map (fun (place, members) ->
                        for i, (a, rowsA) in List.indexed members do
                            for b, rowsB in List.skip i members do
                                // pyreft's slots may meet, and then act one after another.
                                let pyreft = a.Placement.Where.IsPyreft && b.Placement.Where.IsPyreft

                                if ReftSpec.share a.Placement b.Placement && not pyreft then
                                    let all =
                                        if obj.ReferenceEquals(a, b) then
                                            rowsA
                                        else
                                            Array.append rowsA rowsB

                                    all
                                    |> Seq.collect (fun (placed, _) -> placed.Flat)
                                    |> refuseOverlap context a.Placement.Site

                        place,
                        members
                        |> List.map (fun (b, rows) ->
                            Array.zip b.Edits rows
                            |> Array.indexed
                            |> Array.filter (fun (_, (_, (placed, _))) -> placed.Flat.Length > 0)
                            |> Array.map (fun (group, (edit, (placed, rows))) ->
                                edit, contextOf context b group placed, rows)
                            |> Array.toList
                            |> editRows model.Config.Heads.HeadDim b.Placement.Site.Heads))
                    |> dict

                fun place h ->
                    let h = earlier place h

                    match edits.TryGetValue place with
                    | true, edits -> edits |> List.fold (fun h edit -> edit h) h
                    | _ -> h

        if active.IsEmpty then
            model
        else
            { model with
                Taps = model.Taps |> Array.mapi tapOf }
