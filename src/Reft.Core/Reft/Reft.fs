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
type BoundReft
    internal
    (
        placements: BoundPlacement list,
        shapes: IReadOnlyDictionary<string, int64[]>,
        sources: Activations list,
        scope: IDisposable
    ) =

    // The configuration for which the parameters' shapes were last found right: decode steps need not look again.
    let mutable fitting: ModelConfig option = None

    member internal _.Placements = placements
    member internal _.Sources = sources

    /// The same with more sources.
    member internal _.With(more: Activations list) =
        new BoundReft(placements, shapes, sources @ more, scope)

    /// Refuses a model whose widths the parameters have not.
    member internal _.Check(config: ModelConfig) =
        match fitting with
        | Some known when obj.ReferenceEquals(known, config) -> ()
        | _ ->
            Layout.check config (placements |> List.map (fun b -> b.Placement)) shapes
            fitting <- Some config

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

    let private bindPlacements (spec: ReftSpec) (theta: Parameters) =
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
    let private contextOf (context: Context) (bound: BoundPlacement) group (placed: PlacedRows) =
        { context with
            Site = Some bound.Placement.Site
            Rows = placed.Rows
            Slots = placed.Slots
            SlotCounts = placed.Counts
            Random = context.Random |> Option.map (Rng.fork bound.Number >> Rng.fork group) }

    let private attachPlacements (bound: BoundPlacement list) (context: Context) (model: Transformer) =
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
                            |> Array.filter (fun (_, (_, (placed, _))) -> placed.Flat.Length > 0)
                            |> Array.map (fun (group, (edit, (placed, rows))) ->
                                edit, contextOf context b group placed, rows)
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
    /// <exception cref="T:System.ArgumentException">
    /// A parameter is missing or not finite. Shapes that a model has not are refused when the spec is first attached to it.
    /// </exception>
    let bind (spec: ReftSpec) (theta: Parameters) : BoundReft =
        use _ = torch.no_grad ()
        Layout.checkFinite theta
        use scope = torch.NewDisposeScope()
        let placements = bindPlacements spec theta
        // The staged tensors leave this thread's scopes: the owner frees them, wherever it is disposed.
        let staged = ResizeArray<IDisposable>(scope.DisposablesView)
        scope.Detach staged

        new BoundReft(
            placements,
            Layout.shapes theta,
            [],
            { new IDisposable with
                member _.Dispose() =
                    for tensor in staged do
                        tensor.Dispose()

                    staged.Clear() }
        )

    /// <summary>
    /// The same bound spec with activations of other runs, which its interchanges read whenever it is attached, in a
    /// generation for example, besides those of the context.
    /// </summary>
    /// <remarks>
    /// The result shares what binding computed: dispose either of the two, when neither is used any more. The
    /// activations stay the caller's and must outlive both.
    /// </remarks>
    let withSources (sources: Activations list) (bound: BoundReft) : BoundReft = bound.With sources

    /// <summary>Whether a bound spec edits tokens that follow the prompt; where not, decoding need not attach it.</summary>
    let actsAfterPrompt (bound: BoundReft) : bool =
        bound.Placements |> List.exists (fun b -> b.Placement.When <> Phase.Prompt)

    /// <summary>The model with bound interventions attached, for one context.</summary>
    let attachBound (bound: BoundReft) (context: Context) (model: Transformer) : Transformer =
        bound.Check model.Config
        attachPlacements bound.Placements (Context.withSources bound.Sources context) model

    /// The model with several bound specs attached, one after another.
    let internal attachAll (bound: BoundReft list) (context: Context) (model: Transformer) : Transformer =
        bound |> List.fold (fun model bound -> attachBound bound context model) model

    /// <summary>
    /// The model with a spec attached, for one context: gradients flow to <paramref name="theta"/>. Attachments stack:
    /// a later one sees the edits of an earlier one.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A parameter is missing, or has another shape than the spec on this model.</exception>
    let attach (spec: ReftSpec) (theta: Parameters) (context: Context) (model: Transformer) : Transformer =
        Layout.check model.Config spec (Layout.shapes theta)
        attachPlacements (bindPlacements spec theta) context model

    /// <summary>
    /// <see cref="M:Reft.Core.ReftModule.collect"/> in any phase: under Decode, of the tokens after the prompt. Outside the
    /// prompt rows come in the order of their tokens, however the positions list them.
    /// </summary>
    let collectDuring
        (phase: Phase)
        (name: string)
        (sites: Site list)
        (where: Positions)
        (context: Context)
        (ids: Tensor)
        (model: Transformer)
        : Activations list =
        Collect.run phase name sites where context ids model

    /// <summary>
    /// The activations of a run at some sites and positions of its prompts: one for each site, their rows in the order in
    /// which a tied placement of the same positions edits them. Gradients flow through them; on a model with attachments
    /// they are the edited ones. Only the layers that the sites need are run.
    /// </summary>
    /// <param name="name">What the run is called by the interventions that read it.</param>
    /// <param name="sites">Where in the model; head ranges too.</param>
    /// <param name="where">Which tokens of the prompt.</param>
    /// <param name="context">The run's context, e.g. of <c>Batch.context</c>.</param>
    /// <param name="ids">Its token ids. [batch, seq]</param>
    /// <param name="model">The model.</param>
    /// <exception cref="T:System.ArgumentException">The model has not the site, or the positions mean nothing.</exception>
    let collect
        (name: string)
        (sites: Site list)
        (where: Positions)
        (context: Context)
        (ids: Tensor)
        (model: Transformer)
        : Activations list =
        collectDuring Phase.Prompt name sites where context ids model
