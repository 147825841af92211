namespace Reft.Core

open TorchSharp

/// Reading activations: the counterpart of attaching edits.
[<RequireQualifiedAccess>]
module internal Collect =

    /// Reading changes nothing, whatever the placement's intervention; its groups are one.
    let private reading (phase: Phase) (where: Positions) (site: Site) =
        { Site = site
          Where = where
          When = phase
          What = Intervention.zero
          Tie = Tying.Tied
          Share = None
          ShortPrompt = ShortPrompt.Paper }

    let private pick (heads: HeadShape) (site: Site) (rows: Tensor) (h: Tensor) =
        let picked = h.reshape(-1L, h.shape[2]).index_select(0L, rows)

        match site.Heads with
        | None -> picked
        | Some range ->
            picked.narrow (1L, int64 range.First * int64 heads.HeadDim, int64 range.Count * int64 heads.HeadDim)

    /// See Reft.collectDuring.
    let run
        (phase: Phase)
        (name: string)
        (sites: Site list)
        (where: Positions)
        (context: Context)
        (ids: Tensor)
        (model: Transformer)
        : Activations list =
        Native.load ()
        let placements = sites |> List.map (reading phase where)

        if List.distinct sites <> sites then
            invalidArg (nameof sites) "expected each site once, found one twice"

        // Reading overlaps freely: each placement is checked by itself.
        for placement in placements do
            ReftSpec.validate model.Config [ placement ]

        use scope = torch.NewDisposeScope()

        match placements with
        | [] -> []
        | first :: _ ->
            let placed = (PlacedRows.resolve context first 1)[0]
            let rows = (torch.tensor placed.Flat).``to`` model.Device
            let found = System.Collections.Generic.Dictionary<Site, Tensor>()

            let at layer place =
                sites |> List.filter (fun site -> site.Layer = layer && site.Component = place)

            let tap layer : Tap =
                fun place h ->
                    let h = model.Taps[layer] place h

                    for site in at layer place do
                        // A block frees what it computes: what is read must leave its scopes for this one.
                        let picked = (pick model.Config.Heads site rows h).DetachFromDisposeScope()
                        scope.Attach picked |> ignore
                        found[site] <- picked

                    h

            let last = sites |> List.map (fun site -> site.Layer) |> List.max

            // The input of a block is there before the block runs.
            let onlyInput =
                sites
                |> List.forall (fun site -> site.Layer < last || site.Component = Component.BlockInput)

            let residual =
                Seq.init (if onlyInput then last else last + 1) id
                |> Seq.fold (fun h layer -> model.Blocks[layer] (tap layer) context h) (model.Embed context ids)

            if onlyInput then
                tap last Component.BlockInput residual |> ignore

            sites
            |> List.map (fun site ->
                { Name = name
                  Site = site
                  Rows = placed.Rows
                  Tokens = placed.Tokens
                  Values = found[site].MoveToOuterDisposeScope() })
