namespace Reft.Core

open TorchSharp

/// <summary>The tokens of a row while it is generated.</summary>
[<Struct; NoEquality; NoComparison>]
type TokensSoFar =
    {
        /// The prompt and after it the new tokens; what follows the first <c>Length</c> of them means nothing.
        Ids: int[]
        /// How many tokens there are so far.
        Length: int
        /// How many of them are the prompt.
        Prompt: int
    }

    /// <summary>How many of them are new.</summary>
    member row.New = row.Length - row.Prompt

    /// <summary>A copy of the new tokens.</summary>
    member row.NewIds = Array.sub row.Ids row.Prompt row.New

/// <summary>
/// Changes what the model says of the next token, given the tokens so far: one row of logits, or of log-probabilities in a
/// beam search, for each row. [rows, vocabulary] → [rows, vocabulary], fp32; the argument is not changed.
/// </summary>
type LogitsProcessor = TokensSoFar[] -> Tensor -> Tensor

/// <summary>
/// Processors with the meaning that transformers' <c>generate</c> gives them, except that a row's padding is not among its
/// tokens. Compose them in this order: repetition penalty, then what is forbidden.
/// </summary>
[<RequireQualifiedAccess>]
module LogitsProcessor =

    /// <summary>Processors one after another.</summary>
    let apply (processors: LogitsProcessor list) : LogitsProcessor =
        fun rows logits -> processors |> List.fold (fun logits processor -> processor rows logits) logits

    let private flat (logits: Tensor) (chosen: seq<int * int>) =
        let vocabulary = logits.shape[1]

        chosen
        |> Seq.map (fun (row, id) ->
            if id < 0 || int64 id >= vocabulary then
                invalidArg (nameof chosen) $"expected token ids of 0 … {vocabulary - 1L}, found {id}"

            int64 row * vocabulary + int64 id)
        |> Seq.toArray

    /// <summary>
    /// Divides a positive logit, and multiplies a negative one, of every token that the prompt or the new tokens hold
    /// (Keskar et al., arXiv 1909.05858): above 1 against repetition, below 1 for it.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The penalty is not a positive number.</exception>
    let repetitionPenalty (penalty: float) : LogitsProcessor =
        if not (penalty > 0.0 && penalty < infinity) then
            invalidArg (nameof penalty) $"expected a repetition penalty above 0, found {penalty}"

        fun rows logits ->
            Scope.run (fun () ->
                let seen =
                    seq {
                        for row in 0 .. rows.Length - 1 do
                            for id in Seq.truncate rows[row].Length rows[row].Ids |> Seq.distinct do
                                row, id
                    }
                    |> flat logits

                let index = (torch.tensor seen).``to`` logits.device
                let picked = logits.view(-1L).index_select(0L, index)
                let scale = float32 penalty

                let penalised = torch.where (picked.lt (held 0), picked *. scale, picked /. scale)

                logits.view(-1L).index_copy(0L, index, penalised).view_as logits)

    /// <summary>Gives the tokens that a function of each row's tokens names the probability 0.</summary>
    let forbid (banned: TokensSoFar -> int seq) : LogitsProcessor =
        fun rows logits ->
            let chosen =
                rows
                |> Seq.mapi (fun row tokens -> banned tokens |> Seq.map (fun id -> row, id))
                |> Seq.concat
                |> flat logits

            if chosen.Length = 0 then
                logits
            else
                Scope.run (fun () ->
                    let index = (torch.tensor chosen).``to`` logits.device

                    logits.view(-1L).index_fill(0L, index, held (-infinityf)).view_as logits)

    /// Whether the tokens that end at a place (exclusive) are these.
    let private endsWith (ids: int[]) place (expected: int[]) count =
        let mutable i = 0

        while i < count && ids[place - count + i] = expected[i] do
            i <- i + 1

        i = count

    /// <summary>No sequence of <paramref name="n"/> tokens comes twice, the prompt's included.</summary>
    /// <exception cref="T:System.ArgumentException"><paramref name="n"/> is not positive.</exception>
    let noRepeatNgram (n: int) : LogitsProcessor =
        if n < 1 then
            invalidArg (nameof n) $"expected n-grams of 1 token or more, found {n}"

        forbid (fun row ->
            let prefix = n - 1

            if row.Length < n then
                Seq.empty
            else
                let last = Array.sub row.Ids (row.Length - prefix) prefix

                seq {
                    for place in prefix .. row.Length - 1 do
                        if endsWith row.Ids place last prefix then
                            row.Ids[place]
                })

    /// <summary>
    /// None of these sequences of tokens is completed: a single token never comes, and of a longer sequence the last token
    /// does not come after the others, of which the prompt may hold some.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A sequence is empty.</exception>
    let banned (sequences: int[] list) : LogitsProcessor =
        if sequences |> List.exists Array.isEmpty then
            invalidArg (nameof sequences) "expected at least one token in each banned sequence, found an empty one"

        forbid (fun row ->
            seq {
                for sequence in sequences do
                    let prefix = sequence.Length - 1

                    if prefix <= row.Length && endsWith row.Ids row.Length sequence prefix then
                        sequence[prefix]
            })

    /// <summary>Ends of a row do not come before it has this many new tokens.</summary>
    /// <param name="least">The least number of new tokens, without the end.</param>
    /// <param name="ends">The ids that end a row.</param>
    let minimumNewTokens (least: int) (ends: int list) : LogitsProcessor =
        forbid (fun row -> if row.New < least then ends else [])

    /// <summary>Ends of a row do not come before it has this many tokens, its prompt included.</summary>
    /// <param name="least">The least number of tokens, without the end.</param>
    /// <param name="ends">The ids that end a row.</param>
    let minimumLength (least: int) (ends: int list) : LogitsProcessor =
        forbid (fun row -> if row.Length < least then ends else [])
