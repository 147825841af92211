namespace Reft.Core

/// <summary>What a whole row is labelled with, for classification and regression.</summary>
[<RequireQualifiedAccess>]
type RowTarget =
    /// The number of its label.
    | Label of int
    /// The numbers of the labels that it has, of several or none.
    | Labels of int list
    /// A number for each output.
    | Values of float list

/// <summary>
/// One row of training data: token ids, the token to predict at each place or what the whole row is labelled with, and how
/// many of the first tokens are the prompt, to which positions refer.
/// </summary>
type Example =
    {
        /// Token ids, without padding.
        Ids: int[]
        /// Aligned with <c>Ids</c> (they are shifted inside): the id itself where it is scored, −100 where it is not.
        Labels: int[]
        /// The number of leading tokens that are the prompt.
        Prompt: int
        /// The numbers of the subspaces that act on this row, for interventions that have several; empty is all.
        Subspaces: int list
        /// The number of the segment of each token, for encoders that tell several apart, aligned with <c>Ids</c>; empty
        /// is the first everywhere.
        Segments: int[]
        /// What the whole row is labelled with; <c>None</c> where its tokens are.
        Target: RowTarget option
        /// The row of the same prompt that this one is preferred to; <c>None</c> where it stands alone.
        Rejected: Example option
    }

    /// <summary>
    /// How many terms of a mean loss it brings: its scored tokens, 1 if the whole row is labelled, or 1 if it is one of a
    /// pair, both of which have scored tokens and differ.
    /// </summary>
    member example.ScoredCount: int =
        match example.Rejected, example.Target with
        | Some rejected, _ ->
            let chosen = { example with Rejected = None }

            if chosen.ScoredCount > 0 && rejected.ScoredCount > 0 && chosen.Ids <> rejected.Ids then
                1
            else
                0
        | None, Some _ -> 1
        | None, None ->
            example.Labels
            |> Seq.skip 1
            |> Seq.filter (fun label -> label <> -100)
            |> Seq.length

    /// <summary>The number of its tokens, or those of the longer row of a pair.</summary>
    member example.Length: int =
        match example.Rejected with
        | Some rejected -> max example.Ids.Length rejected.Length
        | None -> example.Ids.Length

/// <summary>Making and checking examples.</summary>
[<RequireQualifiedAccess>]
module Example =

    /// <summary>The label of a token that is not scored, as in PyTorch and transformers.</summary>
    [<Literal>]
    let Ignored = -100

    /// <summary>A prompt, and the completion that follows it: every token of the completion is scored.</summary>
    let ofCompletion (prompt: int[]) (completion: int[]) : Example =
        { Ids = Array.append prompt completion
          Labels = Array.append (Array.create prompt.Length Ignored) completion
          Prompt = prompt.Length
          Subspaces = []
          Segments = [||]
          Target = None
          Rejected = None }

    /// <summary>A text without a prompt of its own: every token but the first is scored, and the whole row is the prompt.</summary>
    let ofText (ids: int[]) : Example =
        { Ids = ids
          Labels = ids |> Array.mapi (fun i id -> if i = 0 then Ignored else id)
          Prompt = ids.Length
          Subspaces = []
          Segments = [||]
          Target = None
          Rejected = None }

    /// <summary>A row that is labelled as a whole, or that is to be: the whole row is the prompt, and no token is scored.</summary>
    /// <param name="segments">The segment of each token; empty is the first everywhere.</param>
    /// <param name="target">Its label; <c>None</c> where it is to be predicted.</param>
    /// <param name="ids">Its token ids.</param>
    /// <exception cref="T:System.ArgumentException">There are segments, but not one for each token.</exception>
    let ofRow (segments: int[]) (target: RowTarget option) (ids: int[]) : Example =
        if segments.Length <> 0 && segments.Length <> ids.Length then
            invalidArg
                (nameof segments)
                $"expected a segment for each of {ids.Length} tokens, or none, found {segments.Length}"

        { Ids = ids
          Labels = Array.create ids.Length Ignored
          Prompt = ids.Length
          Subspaces = []
          Segments = segments
          Target = target
          Rejected = None }

    /// <summary>
    /// Ids and labels as they are. The prompt is <paramref name="prompt"/> tokens; where that is not given, what precedes
    /// the first scored token; where nothing is scored, the whole row.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">
    /// The lengths differ, a label is negative and not −100, the first token has a label though nothing precedes it and
    /// no prompt length says otherwise, or the prompt is longer than the row.
    /// </exception>
    let ofLabels (prompt: int option) (ids: int[]) (labels: int[]) : Example =
        if ids.Length <> labels.Length then
            invalidArg
                (nameof labels)
                $"expected as many labels as input_ids, found {labels.Length} labels and {ids.Length} input_ids"

        match labels |> Array.tryFindIndex (fun label -> label < 0 && label <> Ignored) with
        | Some i -> invalidArg (nameof labels) $"expected a token id or -100 in labels[{i}], found {labels[i]}"
        | None -> ()

        let prompt =
            match prompt, labels |> Array.tryFindIndex (fun label -> label <> Ignored) with
            | Some n, _ when n < 0 || n > ids.Length ->
                invalidArg (nameof prompt) $"expected a prompt_length of 0 … {ids.Length}, found {n}"
            | Some n, _ -> n
            | None, Some 0 ->
                invalidArg
                    (nameof labels)
                    "labels[0] is not -100, but nothing precedes the first token, so it cannot be predicted: set labels[0] to -100, or give prompt_length"
            | None, Some first -> first
            | None, None -> ids.Length

        { Ids = ids
          Labels = labels
          Prompt = prompt
          Subspaces = []
          Segments = [||]
          Target = None
          Rejected = None }

    let private cut (length: int) (example: Example) : Example =
        if example.Ids.Length <= length then
            example
        elif example.Target.IsSome then
            { example with
                Ids = Array.truncate length example.Ids
                Labels = Array.truncate length example.Labels
                Segments = Array.truncate length example.Segments
                Prompt = min length example.Prompt }
        elif example.Prompt < length then
            { example with
                Ids = Array.truncate length example.Ids
                Labels = Array.truncate length example.Labels }
        else
            { example with
                Ids = Array.sub example.Ids (example.Prompt - length) length
                Labels = Array.create length Ignored
                Prompt = length }

    /// <summary>
    /// The example cut to at most <paramref name="length"/> tokens: the completion is cut, the prompt is kept. A prompt
    /// that alone is too long keeps its last tokens, and nothing is scored. A row that is labelled as a whole keeps its
    /// first tokens. Of a pair both rows are cut.
    /// </summary>
    let truncate (length: int) (example: Example) : Example =
        match example.Rejected with
        | None -> cut length example
        | Some rejected ->
            { cut length example with
                Rejected = Some(cut length rejected) }

    /// <summary>A pair of rows with the same prompt: <paramref name="chosen"/> is preferred to <paramref name="rejected"/>.</summary>
    /// <exception cref="T:System.ArgumentException">Their prompts differ, or one of them is a pair already.</exception>
    let preferredTo (rejected: Example) (chosen: Example) : Example =
        if chosen.Rejected.IsSome || rejected.Rejected.IsSome then
            invalidArg (nameof chosen) "expected two single rows, found a pair"

        let prompt (row: Example) = Array.truncate row.Prompt row.Ids

        if prompt chosen <> prompt rejected then
            invalidArg
                (nameof rejected)
                $"expected both completions after the same prompt, found prompts of {chosen.Prompt} and {rejected.Prompt} tokens that differ"

        { chosen with Rejected = Some rejected }

    /// <summary>
    /// The same rows with all their tokens as the prompt, to which positions refer: for what reads whole rows, as a reward.
    /// </summary>
    let rec wholePrompt (example: Example) : Example =
        { example with
            Prompt = example.Ids.Length
            Rejected = example.Rejected |> Option.map wholePrompt }
