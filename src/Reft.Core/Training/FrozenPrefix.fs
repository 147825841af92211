namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>How much a prefix cache keeps, and where.</summary>
type FrozenPrefixOptions =
    {
        /// The most bytes of hidden states: examples that have no room are computed each time. Those that are kept stay, since
        /// in shuffled epochs none is likelier to come next than another.
        MostBytes: int64
        /// A folder for a file without a name, which ends with the process; <c>None</c> keeps them in memory.
        Folder: string option
    }

/// <summary>
/// The layers of a frozen model below its lowest intervention, computed once for each example instead of in each epoch. The
/// residual stream that enters the first edited layer is a function of the tokens alone; it is kept by their values, so that
/// equal examples share it. It owns what it keeps: dispose it after the run. One thread at a time may train with it.
/// </summary>
[<Sealed>]
type FrozenPrefix internal (options: FrozenPrefixOptions, spec: ReftSpec, model: Transformer) =

    /// The lowest layer with an edit; the number of layers where there is none.
    let lowest =
        spec
        |> List.fold (fun least placement -> min least placement.Site.Layer) model.Blocks.Length

    // A block that is edited at its output alone is frozen itself.
    let outputOnly =
        lowest < model.Blocks.Length
        && spec
           |> List.forall (fun p -> p.Site.Layer > lowest || p.Site.Component = Component.BlockOutput)

    let depth = if outputOnly then lowest + 1 else lowest

    let rows: IPrefixRows =
        match options.Folder with
        | Some folder when depth > 0 -> new FilePrefixRows(folder)
        | _ -> new MemoryPrefixRows()

    let places = Dictionary<struct (int[] * int64[]), int64>(PrefixKeys())
    let mutable bytes = 0L
    let mutable computed = 0L
    let mutable reused = 0L
    let mutable disposed = false

    let prefix (context: Context) (ids: Tensor) =
        Seq.init depth id
        |> Seq.fold (fun h layer -> model.Blocks[layer] model.Taps[layer] context h) (model.Embed context ids)

    /// Some ways of stretching rotary positions depend on the longest row of the batch.
    let dependsOnBatch (context: Context) =
        match model.Config.RopeScaling with
        | RopeScaling.Dynamic(_, original)
        | RopeScaling.LongRope(_, _, original, _) -> context.Spans |> Array.exists (fun span -> span.Length > original)
        | _ -> false

    let whole (context: Context) =
        context.Cache.IsNone
        && context.Offset = 0
        && context.Tokens.Length = context.Batch
        && Array.forall2 (fun (ids: int[]) (span: RowSpan) -> ids.Length = span.Length) context.Tokens context.Spans

    let keys (context: Context) =
        let segments =
            match context.Segments with
            | None -> fun _ -> [||]
            | Some segments ->
                let flat = segments.cpu().contiguous().data<int64>().ToArray()

                fun (span: RowSpan) -> Array.sub flat (span.Row * context.Length + span.Start) span.Length

        Array.map2 (fun ids span -> struct (ids, segments span)) context.Tokens context.Spans

    /// The rows of one example. [batch, seq, hidden] → [length, hidden]
    let rowsOf (hidden: Tensor) (span: RowSpan) =
        hidden.select(0L, int64 span.Row).narrow(0L, int64 span.Start, int64 span.Length)

    let store (keys: struct (int[] * int64[])[]) (spans: RowSpan[]) (hidden: Tensor) =
        // What does not fit is not even copied to the host.
        let size (span: RowSpan) =
            int64 span.Length * hidden.shape[2] * hidden.ElementSize

        Array.zip keys spans
        |> Array.iter (fun (key, span) ->
            if not (places.ContainsKey key) && bytes + size span <= options.MostBytes then
                use _ = torch.NewDisposeScope()

                match rows.TryAdd((rowsOf hidden span).cpu().contiguous()) with
                | Some place ->
                    places[key] <- place
                    bytes <- bytes + size span
                | None -> ())

    let assemble (found: int64[]) (context: Context) =
        let hidden =
            torch.zeros (
                [| int64 (RowSpan.rowCount context.Spans)
                   int64 context.Length
                   int64 model.Config.Hidden |],
                dtype = model.Dtype
            )

        Array.iter2 (fun place span -> rows.Read place (rowsOf hidden span)) found context.Spans
        hidden.``to`` model.Device

    let embed (context: Context) (ids: Tensor) =
        if disposed then
            raise (
                ObjectDisposedException(
                    nameof FrozenPrefix,
                    "the cache of frozen layers was disposed: train within its lifetime"
                )
            )

        Scope.run (fun () ->
            use _ = torch.no_grad ()

            if not (whole context) || dependsOnBatch context then
                computed <- computed + int64 context.Batch
                prefix context ids
            else
                let keys = keys context

                let found =
                    keys
                    |> Array.choose (fun key ->
                        match places.TryGetValue key with
                        | true, place -> Some place
                        | _ -> None)

                if found.Length = keys.Length then
                    reused <- reused + int64 keys.Length
                    assemble found context
                else
                    // The whole batch: its rows are computed together at little more than the cost of the missing ones.
                    let hidden = prefix context ids
                    store keys context.Spans hidden
                    computed <- computed + int64 keys.Length
                    hidden)

    let replaced layer (block: Block) : Block =
        if layer < lowest then
            fun _ _ h -> h
        elif layer = lowest && outputOnly then
            fun tap _ h -> Scope.run (fun () -> tap Component.BlockOutput h)
        else
            block

    let model =
        if depth = 0 then
            model
        else
            { model with
                Embed = embed
                Blocks = model.Blocks |> Array.mapi replaced }

    member internal _.Tuned = Tuned.reft spec model

    /// <summary>How many layers are frozen below the first edit, and computed once: 0 where there is nothing to keep.</summary>
    member _.Layers = depth

    /// <summary>How many examples are kept.</summary>
    member _.Kept = places.Count

    /// <summary>The bytes of hidden states that are kept.</summary>
    member _.Bytes = bytes

    /// <summary>How often an example went through the frozen layers so far.</summary>
    member _.Computed = computed

    /// <summary>How often it did not have to.</summary>
    member _.Reused = reused

    interface IDisposable with
        member _.Dispose() =
            disposed <- true
            places.Clear()
            rows.Dispose()

/// <summary>Training without computing frozen layers again.</summary>
[<RequireQualifiedAccess>]
module FrozenPrefix =

    /// <summary>
    /// An empty cache for a frozen model and what is attached to it. The model itself must not depend on what is trained, and
    /// has nothing else attached.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The bytes are negative, or the spec cannot act on the model.</exception>
    /// <exception cref="T:System.IO.DirectoryNotFoundException">There is no such folder.</exception>
    let create (options: FrozenPrefixOptions) (spec: ReftSpec) (model: Transformer) : FrozenPrefix =
        if options.MostBytes < 0L then
            invalidArg (nameof options) $"expected MostBytes of 0 or more, found {options.MostBytes}"

        Native.load ()
        ReftSpec.validate model.Config spec
        new FrozenPrefix(options, spec, model)

    /// <summary>
    /// The model with its interventions, whose frozen layers are read from the cache where a batch's examples are all in it:
    /// <c>Tuned.reft</c> up to rounding, and bit for bit where an example is read in a batch of the shape in which it was kept.
    /// Activations of the frozen layers themselves cannot be collected from it.
    /// </summary>
    let tuned (prefix: FrozenPrefix) : Tuned = prefix.Tuned
