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

/// <summary>
/// A spec with its parameters bound, ready to be attached to a model for any number of batches and decode steps.
/// Dispose it to free what binding computed.
/// </summary>
[<Sealed>]
type BoundReft internal (placements: BoundPlacement list, scope: IDisposable) =
    member internal _.Placements = placements

    interface IDisposable with
        member _.Dispose() = scope.Dispose()

/// <summary>Attaching interventions to transformers.</summary>
[<RequireQualifiedAccess>]
module Reft =

    /// <summary>Fresh parameters for a spec on a model, reproducible from <paramref name="rng"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The spec cannot act on the model; see <see cref="M:Reft.Core.ReftSpecModule.validate"/>.</exception>
    let init (spec: ReftSpec) (config: ModelConfig) (rng: Rng) : Parameters =
        Native.load ()
        ReftSpec.validate config spec

        List.zip spec (ReftSpec.parameterNames spec)
        |> List.collect (fun (placement, names) -> names |> List.map (fun name -> name, placement))
        |> List.distinctBy fst
        |> List.mapi (fun i (name, placement) ->
            placement.What.Init (config.Width placement.Site) (Rng.fork i rng)
            |> Parameters.prefixed name)
        |> Parameters.concat

    let private bindPlacements (spec: ReftSpec) (theta: Parameters) =
        let edits = Dictionary<string, Edit>()

        // Placements that share parameters share what binding computes from them.
        let edit (placement: Placement) name =
            match edits.TryGetValue name with
            | true, edit -> edit
            | _ ->
                let edit = placement.What.Bind(theta.Sub name)
                edits[name] <- edit
                edit

        List.zip spec (ReftSpec.parameterNames spec)
        |> List.mapi (fun number (placement, names) ->
            { Number = number
              Placement = placement
              Edits = names |> List.map (edit placement) |> List.toArray })

    /// The flat rows (row × seq + column) of the window that each group of a placement edits, with the row and token of each.
    let private rowsOf (context: Context) (placement: Placement) (groups: int) =
        let rows = Array.init groups (fun _ -> ResizeArray<int64>())

        context.Spans
        |> Array.iteri (fun row span ->
            let start, count =
                match placement.When with
                | Phase.Prompt -> 0, span.Prompt
                | Phase.Decode -> span.Prompt, span.Length - span.Prompt
                | Phase.DecodeSteps(first, count) ->
                    span.Prompt + first, max 0 (min count (span.Length - span.Prompt - first))
                | Phase.Always -> 0, span.Length

            let inWindow token =
                let column = span.Column token - context.Offset
                token < span.Length && column >= 0 && column < context.Length

            let choose (chosen: PositionFunction) =
                if context.Tokens.Length = 0 then
                    invalidOp
                        $"'fn:{chosen.Name}' at {placement.Site} needs the rows' tokens, which the context has not: make it with Batch.context, or set its Tokens"

                let ask length =
                    chosen.Choose
                        { Ids = Array.truncate length context.Tokens[row]
                          Prompt = span.Prompt }
                    |> List.map (fun token -> token - start)

                if placement.When = Phase.Prompt then
                    ask span.Prompt
                else
                    // Each token is asked about once it is there, as decoding step by step must.
                    [ for token in start .. start + count - 1 do
                          if inWindow token && List.contains (token - start) (ask (token + 1)) then
                              token - start ]

            for struct (group, token) in
                Positions.resolveWith choose (ReftSpec.rule placement) placement.Tie count placement.Where do
                // pyreft's leftover slots may lie behind the prompt: in training they exist, in generation not yet.
                if inWindow (start + token) then
                    let column = span.Column(start + token) - context.Offset
                    rows[group].Add(int64 row * int64 context.Length + int64 column))

        rows

    let private refuseOverlap (context: Context) (site: Site) (rows: int64 seq) =
        let seen = HashSet<int64>()

        for row in rows do
            if not (seen.Add row) then
                invalidOp
                    $"two edits at {site} meet in row {row / int64 context.Length}, column {row % int64 context.Length + int64 context.Offset}: within one spec edits must not overlap. Choose positions that stay apart in short prompts too, add the interventions with +, or attach them one after another."

    /// Rows are picked, edited in fp32, rounded once and written back.
    let private editRows (heads: int) (range: HeadRange option) (edits: (Edit * Context * Tensor) list) (h: Tensor) =
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
            let headDim = h.shape[2] / int64 heads
            let start, width = int64 range.First * headDim, int64 range.Count * headDim
            let stop = start + width

            torch.cat (
                ResizeArray
                    [ h.narrow (2L, 0L, start)
                      edit (h.narrow(2L, start, width).contiguous())
                      h.narrow (2L, stop, h.shape[2] - stop) ],
                2L
            )

    /// What an edit sees of the context: where it acts, the batch row of each of its rows, and noise of its own.
    let private contextOf (context: Context) (bound: BoundPlacement) group (indices: ResizeArray<int64>) =
        { context with
            Site = Some bound.Placement.Site
            Rows = indices.ToArray() |> Array.map (fun index -> int (index / int64 context.Length))
            Random = context.Random |> Option.map (Rng.fork bound.Number >> Rng.fork group) }

    let private attachPlacements (bound: BoundPlacement list) (context: Context) (model: Transformer) =
        // Placements of the same positions resolve once, however many layers they have.
        let resolved =
            Dictionary<struct (Positions * Phase * Tying * ShortPrompt), (ResizeArray<int64> * Tensor)[]>()

        let rows (placement: Placement) groups =
            let key =
                struct (placement.Where, placement.When, placement.Tie, placement.ShortPrompt)

            match resolved.TryGetValue key with
            | true, rows -> rows
            | _ ->
                let rows =
                    rowsOf context placement groups
                    |> Array.map (fun rows ->
                        rows, torch.tensor(rows.ToArray(), dtype = torch.int64).``to`` model.Device)

                resolved[key] <- rows
                rows

        let active =
            bound
            |> List.map (fun b -> b, rows b.Placement b.Edits.Length)
            |> List.filter (fun (_, rows) -> rows |> Array.exists (fun (indices, _) -> indices.Count > 0))

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

                                    all |> Seq.collect fst |> refuseOverlap context a.Placement.Site

                        let heads =
                            match place with
                            | Component.Key
                            | Component.Value -> model.Config.Heads.KvHeads
                            | _ -> model.Config.Heads.Heads

                        place,
                        members
                        |> List.map (fun (b, rows) ->
                            Array.zip b.Edits rows
                            |> Array.indexed
                            |> Array.filter (fun (_, (_, (indices, _))) -> indices.Count > 0)
                            |> Array.map (fun (group, (edit, (indices, rows))) ->
                                edit, contextOf context b group indices, rows)
                            |> Array.toList
                            |> editRows heads b.Placement.Site.Heads))
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

    /// <summary>
    /// Binds parameters once for many batches and decode steps, without gradients: at inference θ does not change.
    /// </summary>
    /// <returns>An owner of what binding computed; dispose it when done.</returns>
    let bind (spec: ReftSpec) (theta: Parameters) : BoundReft =
        use _ = torch.no_grad ()
        use scope = torch.NewDisposeScope()
        let placements = bindPlacements spec theta
        // The staged tensors leave this thread's scopes: the owner frees them, wherever it is disposed.
        let staged = ResizeArray<IDisposable>(scope.DisposablesView)
        scope.Detach staged

        new BoundReft(
            placements,
            { new IDisposable with
                member _.Dispose() =
                    for tensor in staged do
                        tensor.Dispose() }
        )

    /// <summary>Whether a bound spec edits tokens that follow the prompt; where not, decoding need not attach it.</summary>
    let actsAfterPrompt (bound: BoundReft) : bool =
        bound.Placements |> List.exists (fun b -> b.Placement.When <> Phase.Prompt)

    /// <summary>The model with bound interventions attached, for one context.</summary>
    let attachBound (bound: BoundReft) (context: Context) (model: Transformer) : Transformer =
        attachPlacements bound.Placements context model

    /// The model with several bound specs attached, one after another.
    let internal attachAll (bound: BoundReft list) (context: Context) (model: Transformer) : Transformer =
        bound |> List.fold (fun model bound -> attachBound bound context model) model

    /// <summary>
    /// The model with a spec attached, for one context: gradients flow to <paramref name="theta"/>. Attachments stack:
    /// a later one sees the edits of an earlier one.
    /// </summary>
    let attach (spec: ReftSpec) (theta: Parameters) (context: Context) (model: Transformer) : Transformer =
        attachPlacements (bindPlacements spec theta) context model
