namespace Reft.Core

/// <summary>How a generation runs.</summary>
type GenerateOptions =
    {
        /// New tokens per row, at most.
        MaxNewTokens: int
        /// Ids that end a row; the id itself is among its new tokens.
        StopIds: int list
        /// On which side shorter prompts are padded.
        Padding: PaddingSide
    }

/// <summary>A token as it is generated.</summary>
[<Struct>]
type GeneratedToken =
    {
        /// The row of the batch.
        Row: int
        /// The token id.
        Id: int
    }

/// <summary>Why a row ended.</summary>
[<RequireQualifiedAccess>]
type RowEnding =
    /// Its last token is one of <c>StopIds</c>.
    | EndToken
    /// Its text is at an end, as <c>Decoding.StopText</c> says.
    | StopText
    /// It has as many tokens as were asked for.
    | Length

/// <summary>What was generated after a prompt.</summary>
type GeneratedRow =
    {
        /// The new tokens; an end token is the last of them.
        Ids: int[]
        /// Why there are no more.
        Finish: RowEnding
        /// In a beam search, the sum of its tokens' log-probabilities over (number of tokens) ^ LengthPenalty.
        Score: float option
    }

/// <summary>How the next token is chosen.</summary>
[<RequireQualifiedAccess>]
type TokenChoice =
    /// The most likely one.
    | MostLikely
    /// Drawn from the warped distribution, each row from a stream of its own: see <see cref="M:Reft.Core.SamplingModule.streams"/>.
    | Sampled of warping: Warping * streams: Rng[]

/// <summary>What a generation does besides asking the model.</summary>
[<NoEquality; NoComparison>]
type Decoding =
    {
        /// What changes logits before the choice, in this order.
        Processors: LogitsProcessor list
        /// The choice.
        Choice: TokenChoice
        /// Whether a row with these new tokens is at an end, e.g. because its text holds a stop string. It is asked after
        /// every token.
        StopText: (int[] -> bool) option
    }

/// <summary>When a beam search ends.</summary>
[<RequireQualifiedAccess>]
type BeamStopping =
    /// When there are as many finished texts as beams and the best unfinished one, at its present length, scores below
    /// the worst of them (transformers' <c>False</c>).
    | Unlikely
    /// As soon as there are as many finished texts as beams (<c>True</c>).
    | Full
    /// When no unfinished text can become better than the worst finished one, at its best possible length (<c>"never"</c>).
    | Never

/// <summary>The options of a beam search.</summary>
type BeamSearchOptions =
    {
        /// How many unfinished texts are followed for each row.
        Count: int
        /// The power of the number of new tokens that a finished text's log-probability is divided by: above 0 longer ones gain.
        LengthPenalty: float
        /// When it ends.
        EarlyStopping: BeamStopping
        /// How many texts are returned for each row; at most <c>Count</c>.
        Returned: int
    }

/// <summary>Ways of decoding.</summary>
[<RequireQualifiedAccess>]
module Decoding =

    /// <summary>The most likely token each time, and nothing else.</summary>
    let greedy: Decoding =
        { Processors = []
          Choice = TokenChoice.MostLikely
          StopText = None }

    /// <summary>transformers' beam search: length penalty 1, ended by the heuristic, one text returned.</summary>
    let beams (count: int) : BeamSearchOptions =
        { Count = count
          LengthPenalty = 1.0
          EarlyStopping = BeamStopping.Unlikely
          Returned = 1 }

    /// The random stream of each row; none where nothing is drawn.
    let internal streams (decoding: Decoding) : Rng[] =
        match decoding.Choice with
        | TokenChoice.MostLikely -> [||]
        | TokenChoice.Sampled(_, streams) -> streams

    /// Why a row is at an end, if it is; its new tokens are copied only where they are asked about.
    let internal finish (decoding: Decoding) (options: GenerateOptions) (ends: Set<int>) (row: TokensSoFar) =
        if ends.Contains row.Ids[row.Length - 1] then
            Some RowEnding.EndToken
        elif decoding.StopText |> Option.exists (fun stops -> stops row.NewIds) then
            Some RowEnding.StopText
        elif row.New >= options.MaxNewTokens then
            Some RowEnding.Length
        else
            None

    let internal check (options: GenerateOptions) (decoding: Decoding) (model: Transformer) (prompts: int[] list) =
        if not model.Config.Causal then
            invalidArg
                (nameof model)
                $"a {model.Config.Family} model is an encoder, whose tokens see what comes after them, and cannot generate: expected a decoder"

        if prompts.IsEmpty then
            invalidArg (nameof prompts) "expected at least one prompt, found none"

        if options.MaxNewTokens < 0 then
            invalidArg (nameof options) $"expected MaxNewTokens ≥ 0, found {options.MaxNewTokens}"

        match decoding.Choice with
        | TokenChoice.MostLikely -> ()
        | TokenChoice.Sampled(warping, streams) ->
            Warp.check warping

            if streams.Length <> prompts.Length then
                invalidArg
                    (nameof decoding)
                    $"expected a random stream for each of {prompts.Length} prompts, found {streams.Length}"

        prompts
        |> List.iteri (fun row prompt ->
            if prompt.Length = 0 then
                invalidArg
                    (nameof prompts)
                    $"prompt {row} is empty: expected at least one token, such as the beginning-of-sequence id"

            if options.MaxNewTokens > model.Config.Context - prompt.Length then
                invalidArg
                    (nameof prompts)
                    $"prompt {row} has {prompt.Length} tokens, and {options.MaxNewTokens} new ones would pass the model's context of {model.Config.Context}: shorten the prompt or ask for at most {max 0 (model.Config.Context - prompt.Length)} new tokens")

    let internal checkBeams (beams: BeamSearchOptions) =
        if beams.Count < 1 then
            invalidArg (nameof beams) $"expected a Count of 1 beam or more, found {beams.Count}"

        if beams.Returned < 1 || beams.Returned > beams.Count then
            invalidArg
                (nameof beams)
                $"expected Returned of 1 … {beams.Count}, the number of beams, found {beams.Returned}"

        if not (System.Double.IsFinite beams.LengthPenalty) then
            invalidArg (nameof beams) $"expected a finite LengthPenalty, found {beams.LengthPenalty}"
