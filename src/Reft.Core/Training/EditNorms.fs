namespace Reft.Core

open System.Collections.Generic
open TorchSharp

/// <summary>How much one row of hidden states is changed by what is attached at its site.</summary>
type EditNorm =
    {
        /// Where in the model.
        Site: Site
        /// Which of the placement's parameter sets edited it, from 0.
        Group: int
        /// The row of the batch.
        Row: int
        /// The token of that row, from 0.
        Token: int
        /// Which of the positions it is: <c>f1</c> the prompt's first token, <c>l1</c> its last, <c>t5</c> its token 5 counted
        /// from 0, <c>+1</c> the first after it.
        Position: string
        /// ‖Δ‖: the Euclidean norm of the change.
        Change: float
        /// ‖h‖: that of the row before it.
        Hidden: float
    }

    /// <summary>‖Δ‖ / ‖h‖; 0 where both are 0.</summary>
    member norm.Ratio: float = if norm.Change = 0.0 then 0.0 else norm.Change / norm.Hidden

/// <summary>
/// How far interventions move hidden states: what shows, while a run goes on, which layers and positions do the work.
/// </summary>
[<RequireQualifiedAccess>]
module EditNorms =

    let rec private parts positions =
        match positions with
        | Positions.Union parts' -> List.collect parts parts'
        | single -> [ single ]

    /// What people call a token of a prompt. The first and the last ones are counted from their end of it, so that rows of
    /// different lengths share names.
    let internal position (where: Positions) (prompt: int) (token: int) : string =
        let reach choose =
            match parts where |> List.choose choose with
            | [] -> 0
            | counts -> List.max counts

        let first =
            reach (function
                | Positions.First n -> Some n
                | Positions.Pyreft slots -> Some slots.First
                | _ -> None)

        let last =
            reach (function
                | Positions.Last n -> Some n
                | Positions.Pyreft slots -> Some slots.Last
                | _ -> None)

        if token >= prompt then
            $"+{token - prompt + 1}"
        else
            let isFirst, isLast = token < first, prompt - token <= last

            // In a short prompt both reach a token of the middle: each side has its half.
            if isFirst && (not isLast || 2 * token < prompt) then
                $"f{token + 1}"
            elif isLast then
                $"l{prompt - token}"
            else
                $"t{token}"

    /// The rows of one placement, as the taps see them.
    [<NoEquality; NoComparison>]
    type private Watched =
        { Placement: Placement
          Rows: PlacedRows[]
          Flat: Tensor }

    let private pick (config: ModelConfig) (watched: Watched) (h: Tensor) =
        let rows =
            h.detach().reshape(-1L, h.shape[2]).index_select(0L, watched.Flat).``to`` torch.float32

        match watched.Placement.Site.Heads with
        | None -> rows
        | Some range ->
            let width = int64 config.Heads.HeadDim
            rows.narrow (1L, int64 range.First * width, int64 range.Count * width)

    let private norms (rows: Tensor) =
        rows.norm(1).cpu().data<float32>().ToArray()

    /// <summary>
    /// The norms of all edits that a batch's rows get, in the order of the spec. It costs a forward pass up to the last edited
    /// layer, without gradients and without noise. Placements that edit the same numbers of a row are measured together.
    /// </summary>
    /// <param name="tuned">The model and what is attached to it.</param>
    /// <param name="theta">The parameters.</param>
    /// <param name="batch">The rows.</param>
    /// <exception cref="T:System.ArgumentException">The parameters are not those of the spec.</exception>
    let measure (tuned: Tuned) (theta: Parameters) (batch: Batch) : EditNorm list =
        Native.load ()
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        let plain = tuned.Model theta

        let context =
            { batch with Random = None } |> Batch.context plain |> tuned.Prepare batch

        let attached = plain |> Reft.attach tuned.Spec theta context

        let watched =
            List.zip tuned.Spec (ReftSpec.parameterNames tuned.Spec)
            |> List.map (fun (placement, groups) ->
                let rows = PlacedRows.resolve context placement groups.Length
                let flat = rows |> Array.collect _.Flat

                { Placement = placement
                  Rows = rows
                  Flat = torch.tensor(flat, dtype = torch.int64).``to`` plain.Device })

        let found =
            Dictionary<Placement, struct (float32[] * float32[])>(HashIdentity.Reference)

        let at layer place =
            watched
            |> List.filter (fun w ->
                w.Placement.Site.Layer = layer
                && w.Placement.Site.Component = place
                && w.Flat.numel () > 0L)

        let tap layer : Tap =
            fun place h ->
                let edited = attached.Taps[layer] place h

                match at layer place with
                | [] -> ()
                | here ->
                    use _ = torch.NewDisposeScope()
                    // What was attached to the model before is not what is measured.
                    let before = plain.Taps[layer] place h

                    for w in here do
                        let was, is = pick plain.Config w before, pick plain.Config w edited
                        found[w.Placement] <- struct (norms (is - was), norms was)

                edited

        match tuned.Spec with
        | [] -> ()
        | spec ->
            let last = spec |> List.map _.Site.Layer |> List.max
            let ids = Batch.ids plain.Device batch

            Seq.init (last + 1) id
            |> Seq.fold (fun h layer -> attached.Blocks[layer] (tap layer) context h) (attached.Embed context ids)
            |> ignore

        [ for w in watched do
              match found.TryGetValue w.Placement with
              | true, struct (changes, hidden) ->
                  let mutable index = 0

                  for group, placed in Array.indexed w.Rows do
                      for row, token in Array.zip placed.Rows placed.Tokens do
                          { Site = w.Placement.Site
                            Group = group
                            Row = row
                            Token = token
                            Position = position w.Placement.Where context.Spans[row].Prompt token
                            Change = float changes[index]
                            Hidden = float hidden[index] }

                          index <- index + 1
              | _ -> () ]
