namespace Reft.Core

open TorchSharp

/// <summary>How attention is computed.</summary>
[<RequireQualifiedAccess>]
type AttentionKernel =
    /// libtorch's fused kernel: fast, with a first derivative.
    | Fused
    /// The formula written out: with derivatives of every order.
    | Plain

/// <summary>Which columns the tokens of a model's layers see, besides that nothing sees padding.</summary>
[<RequireQualifiedAccess>]
type AttentionPattern =
    /// Itself and what is before it.
    | Causal
    /// The last <c>window</c> columns, itself among them.
    | Sliding of window: int
    /// Every one, as in an encoder.
    | Bidirectional

/// <summary>A pattern and the padding of a window, in the form that attention computes with.</summary>
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type AttentionMask =
    /// Every token sees every column.
    | Everything
    /// Causality alone is right.
    | Causal
    /// Added to the scores, finite. [batch, 1, seq, columns]
    | Excluding of Tensor

/// <summary>
/// What a forward pass knows besides the hidden states: which window of which rows it is looking at. The columns
/// <c>Offset</c> … <c>Offset + Length − 1</c> of a padded batch are computed; earlier ones are in the cache.
/// </summary>
[<NoEquality; NoComparison>]
type Context =
    {
        /// One per example, over all columns: one per row, but several in a row of a packed batch.
        Spans: RowSpan[]
        /// The window's first column.
        Offset: int
        /// The window's number of columns (seq).
        Length: int
        /// Each token's index in its example, without padding; 0 at padding. [batch, seq] int64
        PositionIds: Tensor
        /// Whether <c>PositionIds</c> is 0, 1, 2, … in every row, as under right padding.
        PlainPositions: bool
        /// The number of the segment of each token, for encoders that tell several apart; <c>None</c> is the first
        /// everywhere. [batch, seq] int64
        Segments: Tensor option
        /// What attention may see, filled in by the model; one per pattern that its layers have.
        Masks: AttentionMask[]
        /// Rotary tables of this window, (cos, sin), filled in by the model; one per rope base. [batch or 1, 1, seq, head_dim]
        Rotary: struct (Tensor * Tensor)[]
        /// Keys and values that every token sees before the columns, as prefix tuning learns them: one pair per layer
        /// [kv_heads, n, head_dim]; empty where there are none. They have no position and no column.
        Prefix: struct (Tensor * Tensor)[]
        /// The columns before the window, when decoding.
        Cache: KvCache option
        /// How attention is computed.
        Attention: AttentionKernel
        /// The tokens of each example, without padding, for positions that are functions of them, at least as many as it
        /// has so far: later ones are not read. Empty when unknown.
        Tokens: int[][]
        /// The random state of dropout and of other noise in training; <c>None</c> where nothing is to be random.
        Random: Rng option
        /// For each example the numbers of the subspaces that act; empty where all do.
        Subspaces: int list[]
        /// Activations of other runs, for interventions that read them.
        Sources: Activations list
        /// Inside an edit: where it acts.
        Site: Site option
        /// Inside an edit: the number of the example that each of its rows is of: its batch row, where none is packed. [n]
        Rows: int[]
        /// Inside an edit: the number of each of its rows among all those that the placement edits in its batch row,
        /// earlier and later windows included. [n]; empty when unknown, as where a function chooses while decoding.
        Slots: int[]
        /// Inside an edit: how many rows the placement edits in each example, among the tokens so far. [batch]
        SlotCounts: int[]
    }

    /// <summary>The number of examples: of rows, where none is packed.</summary>
    member context.Batch = context.Spans.Length

/// <summary>Making contexts.</summary>
[<RequireQualifiedAccess>]
module Context =

    /// Large enough to vanish in a softmax, finite so that a row of padding gives finite numbers, never NaN.
    let private excluded (dtype: torch.ScalarType) =
        if dtype = torch.float16 then -6e4f else -1e30f

    /// What stands in each column of [0, columns) of each row, or −1 at padding: the index of the token in its example, and
    /// the number of the example. Row by row.
    let private tokenColumns columns (spans: RowSpan[]) =
        let size = RowSpan.rowCount spans * columns
        let tokens, owners = Array.create size -1, Array.create size -1

        spans
        |> Array.iteri (fun number span ->
            for token in 0 .. span.Length - 1 do
                let column = span.Column token

                if column < columns then
                    tokens[span.Row * columns + column] <- token
                    owners[span.Row * columns + column] <- number)

        struct (tokens, owners)

    let private maskTensor (dtype: torch.ScalarType) (device: torch.Device) pattern offset length (spans: RowSpan[]) =
        let columns = int64 (offset + length)
        let rows = RowSpan.rowCount spans
        let packed = rows < spans.Length
        let rows = int64 rows
        let struct (tokens, owners) = tokenColumns (offset + length) spans

        Scope.run (fun () ->
            let place (numbers: int[]) =
                (torch.tensor numbers).``to``(device).view(rows, 1L, 1L, columns)

            let asked (x: Tensor) =
                x.narrow(3L, int64 offset, int64 length).transpose(2L, 3L)

            let index = place tokens

            let places =
                torch.arange (held 0, held (int64 columns), held 1, dtype = torch.int32, device = device)

            let here = places.narrow(0L, int64 offset, int64 length).unsqueeze 1L // [length, 1]
            let isToken = index.ge (held 0) // [batch, 1, 1, columns]

            let reached =
                match pattern with
                | AttentionPattern.Causal -> isToken.logical_and (places.le here)
                | AttentionPattern.Sliding window ->
                    // A window counts tokens: the padding that decoding steps over is not in it.
                    isToken.logical_and(places.le here).logical_and((asked index - index).lt(held window))
                | AttentionPattern.Bidirectional -> isToken

            // The examples of one row do not see each other.
            let reached =
                if packed then
                    let owner = place owners
                    reached.logical_and ((asked owner).eq owner)
                else
                    reached

            // A padding query sees itself, so that no row of the softmax is empty.
            let sees = reached.logical_or (places.eq here)

            torch
                .zeros([| rows; 1L; int64 length; columns |], dtype = dtype, device = device)
                .masked_fill(sees.logical_not (), held (excluded dtype)))

    let private rightPadded (spans: RowSpan[]) =
        spans |> Array.forall (fun s -> s.Start = 0 && s.Gap = 0)

    let private uniform offset columns (spans: RowSpan[]) =
        rightPadded spans
        && (offset = 0 || spans |> Array.forall (fun s -> s.Length >= columns))

    /// <summary>What the tokens of a window see under a pattern.</summary>
    /// <param name="dtype">The model's dtype.</param>
    /// <param name="device">The model's device.</param>
    /// <param name="pattern">The pattern.</param>
    /// <param name="context">The window.</param>
    let mask (dtype: torch.ScalarType) (device: torch.Device) (pattern: AttentionPattern) (context: Context) =
        let offset, length, spans = context.Offset, context.Length, context.Spans
        let columns = offset + length

        let excluding () =
            spans
            |> maskTensor dtype device pattern offset length
            |> AttentionMask.Excluding

        // Rows that hold several examples are not right-padded in this sense. Under right padding no token sees a pad, and a single decoded token sees every column.
        let causalAlone =
            rightPadded spans && offset = 0 || uniform offset columns spans && length = 1

        match pattern with
        | AttentionPattern.Causal when causalAlone -> AttentionMask.Causal
        | AttentionPattern.Sliding window when causalAlone && columns <= window -> AttentionMask.Causal
        | AttentionPattern.Bidirectional when
            rightPadded spans && spans |> Array.forall (fun span -> span.Length >= columns)
            ->
            AttentionMask.Everything
        | _ -> excluding ()

    /// <summary>The context of columns <paramref name="offset"/> … of the examples <paramref name="spans"/>.</summary>
    /// <param name="device">The model's device.</param>
    /// <param name="cache">The columns before the window; <c>None</c> when the window begins at column 0.</param>
    /// <param name="offset">The window's first column.</param>
    /// <param name="length">The window's number of columns.</param>
    /// <param name="spans">One per example.</param>
    let create (device: torch.Device) (cache: KvCache option) (offset: int) (length: int) (spans: RowSpan[]) : Context =
        let columns = offset + length
        let uniform = uniform offset columns spans

        let positionIds =
            use _ = torch.NewDisposeScope()

            let host =
                if uniform then
                    torch
                        .arange(held (int64 offset), held (int64 columns), held 1, dtype = torch.int64)
                        .unsqueeze(0L)
                        .expand(int64 spans.Length, -1L)
                else
                    let struct (tokens, _) = tokenColumns columns spans
                    let rows = RowSpan.rowCount spans

                    torch
                        .tensor(
                            Array.init (rows * length) (fun i ->
                                int64 (max 0 tokens[i / length * columns + offset + i % length]))
                        )
                        .view(int64 rows, int64 length)

            host.``to``(device).MoveToOuterDisposeScope()

        { Spans = spans
          Offset = offset
          Length = length
          PositionIds = positionIds
          PlainPositions = uniform
          Segments = None
          Masks = [||]
          Rotary = [||]
          Prefix = [||]
          Cache = cache
          Attention = AttentionKernel.Fused
          Tokens = [||]
          Random = None
          Subspaces = [||]
          Sources = []
          Site = None
          Rows = [||]
          Slots = [||]
          SlotCounts = [||] }

    /// <summary>The same context with attention written out, for derivatives of second and higher order.</summary>
    let withPlainAttention (context: Context) : Context =
        { context with
            Attention = AttentionKernel.Plain }

    /// A mask over n more columns, before the others, that every token sees.
    let private widened (dtype: torch.ScalarType) (device: torch.Device) (length: int) (n: int64) mask =
        let joined (mask: Tensor) =
            Scope.run (fun () ->
                let seen =
                    torch.zeros ([| mask.shape[0]; 1L; mask.shape[2]; n |], dtype = mask.dtype, device = device)

                torch.cat (ResizeArray [ seen; mask ], 3L))
            |> AttentionMask.Excluding

        match mask with
        | AttentionMask.Everything -> AttentionMask.Everything
        | AttentionMask.Excluding mask -> joined mask
        // One token sees every column.
        | AttentionMask.Causal when length = 1 -> AttentionMask.Everything
        | AttentionMask.Causal ->
            let side = int64 length

            torch.full([| 1L; 1L; side; side |], held (excluded dtype), dtype = dtype, device = device).triu(1L)
            |> joined

    /// <summary>
    /// A context that a model has filled in, with keys and values that every token sees before the columns, in every pattern of
    /// attention.
    /// </summary>
    /// <param name="dtype">The model's dtype.</param>
    /// <param name="device">The model's device.</param>
    /// <param name="prefix">One pair per layer, of one length. [kv_heads, n, head_dim]</param>
    /// <param name="context">The window.</param>
    let withPrefix
        (dtype: torch.ScalarType)
        (device: torch.Device)
        (prefix: struct (Tensor * Tensor)[])
        (context: Context)
        : Context =
        let struct (keys, _) = prefix[0]

        { context with
            Prefix = prefix
            Masks = context.Masks |> Array.map (widened dtype device context.Length keys.shape[1]) }

    /// <summary>
    /// A context for applying an edit to rows that no model computed: it says which batch row each of them belongs to, and
    /// nothing else. No model can run in it.
    /// </summary>
    let ofRows (rows: int[]) : Context =
        { Spans = [||]
          Offset = 0
          Length = 0
          PositionIds = Unchecked.defaultof<Tensor>
          PlainPositions = false
          Segments = None
          Masks = [||]
          Rotary = [||]
          Prefix = [||]
          Cache = None
          Attention = AttentionKernel.Fused
          Tokens = [||]
          Random = None
          Subspaces = [||]
          Sources = []
          Site = None
          Rows = rows
          Slots = [||]
          SlotCounts = [||] }

    /// <summary>The same context with activations of other runs, besides those it has.</summary>
    let withSources (sources: Activations list) (context: Context) : Context =
        { context with
            Sources = context.Sources @ sources }

    /// <summary>The same context with a random state, from which dropout and other noise draw.</summary>
    let withRandom (rng: Rng) (context: Context) : Context = { context with Random = Some rng }

    /// <summary>The same context for part number <paramref name="index"/> of a combination: its noise is its own.</summary>
    let forPart (index: int) (context: Context) : Context =
        match context.Random with
        | None -> context
        | Some rng ->
            { context with
                Random = Some(Rng.fork index rng) }

    /// <summary>
    /// Inside an edit: the number of each of its rows among those that are edited in its batch row, as the placement counts
    /// them, or as they come where it does not say.
    /// </summary>
    let slots (context: Context) : int[] =
        if context.Slots.Length = context.Rows.Length then
            context.Slots
        else
            let seen = System.Collections.Generic.Dictionary<int, int>()

            context.Rows
            |> Array.map (fun row ->
                let slot =
                    match seen.TryGetValue row with
                    | true, count -> count
                    | _ -> 0

                seen[row] <- slot + 1
                slot)
