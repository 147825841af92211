namespace Reft.Core

open TorchSharp

/// One forward pass of a generation.
[<NoEquality; NoComparison>]
type internal DecodeWindow =
    {
        /// The first column.
        Offset: int
        /// The number of columns.
        Length: int
        /// One per row, over all columns so far.
        Spans: RowSpan[]
        /// The window's ids, row by row; 0 at padding.
        Ids: int64[]
        /// All tokens of each row so far, at least.
        Tokens: int[][]
        /// The subspaces that act on each row; empty where all do.
        Subspaces: int list[]
    }

    /// The tokens of each row so far.
    member window.Rows: TokensSoFar[] =
        Array.map2
            (fun ids (span: RowSpan) ->
                { Ids = ids
                  Length = span.Length
                  Prompt = span.Prompt })
            window.Tokens
            window.Spans

/// The forward pass that every way of decoding shares.
[<RequireQualifiedAccess>]
module internal DecodeStep =

    let private attachActing (bound: BoundReft list) (context: Context) (model: Transformer) =
        // Prompt edits have run in prefill: their effect is in the cache, and a decode step pays nothing for them.
        let acting =
            if context.Offset = 0 then
                bound
            else
                bound |> List.filter Reft.actsAfterPrompt

        Reft.attachAll acting context model

    /// The prompts alone, whatever examples hold besides, with the subspaces that act on each.
    let promptsOf (options: GenerateOptions) (examples: Example list) : Batch =
        examples
        |> List.map (fun example ->
            { Example.ofText example.Ids with
                Subspaces = example.Subspaces })
        |> Batch.create options.Padding

    /// The window of whole prompts, which comes first.
    let prefill (tokens: int[][]) (batch: Batch) : DecodeWindow =
        { Offset = 0
          Length = batch.Columns
          Spans = batch.Spans
          Ids = batch.Ids
          Tokens = tokens
          Subspaces = batch.Subspaces }

    /// What a function makes of the logits of each row's next token [rows, vocabulary]; tensors end with it.
    let run
        (bound: BoundReft list)
        (model: Transformer)
        (cache: KvCache)
        (window: DecodeWindow)
        (choose: Tensor -> 'T)
        =
        // Inside the step, never across a yield: the consumer may train between two tokens.
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        let rows, length = window.Spans.Length, window.Length

        let context =
            { (model |> Transformer.context (Some cache) window.Offset length window.Spans) with
                Tokens = window.Tokens
                Subspaces = window.Subspaces }

        let input =
            torch.tensor(window.Ids).view(int64 rows, int64 length).``to`` model.Device

        let residual =
            model |> attachActing bound context |> Transformer.residual context input

        let last =
            if length = 1 then
                residual.view (int64 rows, -1L)
            else
                let flat =
                    window.Spans
                    |> Array.mapi (fun row span -> int64 (row * length + span.Column(span.Length - 1) - window.Offset))

                residual.view(int64 rows * int64 length, -1L).index_select(0L, torch.tensor(flat).``to`` model.Device)

        last
        |> model.Norm
        |> LanguageHead.logits (Transformer.languageHead model)
        |> choose
