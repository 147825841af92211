namespace Reft;

/// <summary>
/// How text is generated: greedily, the most likely token each time, where neither <see cref="Sampling"/> nor
/// <see cref="Beams"/> is given. What a setting means is what transformers' <c>generate</c> means by it.
/// </summary>
public sealed record GenerationOptions
{
    /// <summary>New tokens per row at most; 128 where it is not given, or fewer where the model's context ends before.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>New tokens that come before an end-of-sequence token, or one of <see cref="StopIds"/>, may come.</summary>
    public int MinNewTokens { get; init; }

    /// <summary>Tokens, those of the prompt included, that come before such an end may come.</summary>
    public int MinLength { get; init; }

    /// <summary>Whether to go on after an end-of-sequence token, so that exactly <see cref="MaxNewTokens"/> come.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>
    /// Tokens that end a row, besides the model's own end-of-sequence tokens; also where <see cref="IgnoreEos"/> is set. The
    /// token itself is the last of the row's new tokens.
    /// </summary>
    public IReadOnlyList<int> StopIds { get; init; } = [];

    /// <summary>
    /// Texts that end a row as soon as its new text holds one. The text of the result ends before the first of them; its
    /// tokens are all that were generated.
    /// </summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>How tokens are drawn; null where the most likely one is taken. With <see cref="Beams"/>, beams are drawn.</summary>
    public SamplingOptions? Sampling { get; init; }

    /// <summary>A beam search; null where one text is followed.</summary>
    public BeamOptions? Beams { get; init; }

    /// <summary>
    /// What the positive logits of tokens that the prompt or the new tokens hold are divided by, and negative ones multiplied
    /// by: above 1 against repetition.
    /// </summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>How many tokens a sequence has that does not come twice, the prompt's included; 0 where any may.</summary>
    public int NoRepeatNgram { get; init; }

    /// <summary>Sequences of tokens that do not come; the beginning of one may stand in the prompt.</summary>
    public IReadOnlyList<IReadOnlyList<int>> BannedTokens { get; init; } = [];

    /// <summary>
    /// Texts whose tokens do not come, neither as the tokenizer writes the text nor as it writes it after a space. The same
    /// letters may still come in other tokens.
    /// </summary>
    public IReadOnlyList<string> BannedWords { get; init; } = [];

    /// <summary>
    /// Activations of other runs, which attached interchanges read: row i of each stands for the i-th prompt.
    /// </summary>
    public IReadOnlyList<CollectedActivations> Sources { get; init; } = [];

    /// <summary>Rows that are generated together; each takes the memory of all its beams.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>
    /// Of how many batches the rows are read ahead, so that rows of about the same length are generated together; 1 where
    /// they are generated as they come. Results come in the order of the rows, and are the same, all but for rounding.
    /// </summary>
    public int BucketWindow { get; init; } = 16;
}
