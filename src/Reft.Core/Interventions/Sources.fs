namespace Reft.Core

open System.Collections.Generic
open TorchSharp

/// <summary>
/// Reading other runs from inside an edit: <c>Reft.collect</c> makes the activations of a source run, the context or a
/// bound spec carries them, and interchanges find them here by name and site.
/// </summary>
[<RequireQualifiedAccess>]
module Sources =

    /// <summary>The name of a source run where none is given: <c>source</c>.</summary>
    [<Literal>]
    let DefaultName = "source"

    /// <summary>The form's option for a source of another name than <see cref="F:Reft.Core.SourcesModule.DefaultName"/>.</summary>
    let internal options (source: string) : (string * FormOption) list =
        [ if source <> DefaultName then
              "source", FormOption.Text source ]

    /// <summary>The source that a form's options name.</summary>
    let internal ofOptions (subject: string) (options: (string * FormOption) list) : string =
        options |> FormOptions.text subject "source" DefaultName

    /// <summary>Refuses a source without a name.</summary>
    let internal named (source: string) : string =
        if System.String.IsNullOrWhiteSpace source then
            invalidArg (nameof source) "a source needs the name under which Reft.collect collects it, found none"

        source

    let private place (context: Context) =
        match context.Site with
        | Some site -> string site
        | None -> "no site"

    let private find (name: string) (context: Context) : Activations =
        let fits (source: Activations) =
            source.Name = name
            && (context.Site |> Option.forall (fun site -> site = source.Site))

        match context.Sources |> List.filter fits with
        | [ only ] -> only
        | [] ->
            let known =
                match context.Sources with
                | [] -> "there are no sources"
                | sources ->
                    sources
                    |> List.map (fun source -> $"'{source.Name}' at {source.Site}")
                    |> String.concat ", "
                    |> sprintf "there are %s"

            invalidOp
                $"the edit at {place context} reads the source '{name}' of that site, and {known}: collect it with Reft.collect \"{name}\" at that site and give it by Context.withSources, or by Reft.withSources to a bound spec. To read another site's, relabel it: {{ activations with Site = … }}"
        | several ->
            invalidOp
                $"the edit at {place context} reads the source '{name}' of that site, and {several.Length} sources are that: expected one; give each run a name of its own"

    let private refuseCounts (name: string) (context: Context) row needed found =
        invalidOp
            $"the edit at {place context} reads the source '{name}': it edits {needed} rows of batch row {row}, and the source has {found}. Expected as many: collect at the placement's own positions and phase, from a batch of as many rows. A placement whose parts have parameters of their own edits each part apart: tie it (ReftSpec.tied), or place the parts under sources of their own names"

    /// For each row of the edit the row of the source's values that stands for it.
    let private align (name: string) (context: Context) (source: Activations) =
        let places = Dictionary<int, ResizeArray<int64>>()

        source.Rows
        |> Array.iteri (fun i row ->
            match places.TryGetValue row with
            | true, known -> known.Add(int64 i)
            | _ -> places[row] <- ResizeArray [ int64 i ])

        let slots = Context.slots context

        // While decoding, and in windows of a prompt, the rest of the source's rows are for other windows.
        let partial = context.Cache.IsSome && context.Slots.Length > 0

        Array.zip context.Rows slots
        |> Array.groupBy fst
        |> Array.iter (fun (row, members) ->
            let found =
                match places.TryGetValue row with
                | true, known -> known.Count
                | _ -> 0

            let needed =
                if partial then
                    1 + (members |> Seq.map snd |> Seq.max)
                elif row < context.SlotCounts.Length then
                    context.SlotCounts[row]
                else
                    members.Length

            if found < needed || (found > needed && not partial) then
                refuseCounts name context row needed found)

        Array.map2 (fun row (slot: int) -> places[row][slot]) context.Rows slots

    /// <summary>
    /// The rows of a source run that stand for the rows of an edit: the k-th collected row of each batch row for the k-th
    /// that the placement edits there, in their order.
    /// </summary>
    /// <param name="name">The name under which the run was collected.</param>
    /// <param name="context">The edit's context: it holds the sources and says which rows are edited.</param>
    /// <param name="h">The edit's rows, [n, width].</param>
    /// <returns>[n, width], of the dtype and device of <paramref name="h"/>; gradients reach the source run.</returns>
    /// <exception cref="T:System.InvalidOperationException">
    /// No source, or more than one, has that name and the edit's site, or it has another width or another number of rows.
    /// </exception>
    let rows (name: string) (context: Context) (h: Tensor) : Tensor =
        let source = find name context
        let values = source.Values

        if values.dim () <> 2L || values.shape[1] <> h.shape[1] then
            let found = System.String.Join(" × ", values.shape)

            invalidOp
                $"the edit at {place context} reads the source '{name}': expected rows of width {h.shape[1]}, found [{found}]; collect it at the same site, from a model of the same width"

        if context.Rows.Length <> int h.shape[0] then
            invalidOp
                $"the edit at {place context} reads the source '{name}' and must know the batch row of each of its {h.shape[0]} rows: expected as many in Context.Rows, found {context.Rows.Length}"

        let index = align name context source

        let aligned =
            if
                int64 index.Length = values.shape[0]
                && Array.forall2 (=) index [| 0L .. int64 index.Length - 1L |]
            then
                values
            else
                values.index_select (0L, (torch.tensor index).``to`` values.device)

        aligned.``to`` (h.dtype, h.device)
