namespace Reft;

/// <summary>How text is generated: greedily, the most likely token each time.</summary>
public sealed record GenerationOptions
{
    /// <summary>New tokens per row at most; 128 where it is not given, or fewer where the model's context ends before.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Whether to go on after an end-of-sequence token, so that exactly <see cref="MaxNewTokens"/> come.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>
    /// Tokens that end a row, besides the model's own end-of-sequence tokens; also where <see cref="IgnoreEos"/> is set. The
    /// token itself is the last of the row's new tokens.
    /// </summary>
    public IReadOnlyList<int> StopIds { get; init; } = [];

    /// <summary>
    /// Activations of other runs, which attached interchanges read: row i of each stands for the i-th prompt.
    /// </summary>
    public IReadOnlyList<CollectedActivations> Sources { get; init; } = [];

    /// <summary>Rows that are generated together.</summary>
    public int BatchSize { get; init; } = 8;
}

/// <summary>What a model generated after a prompt.</summary>
/// <param name="TokenIds">The new tokens; an end-of-sequence token that was generated is the last of them.</param>
/// <param name="Text">Their text without special tokens; null where the model has no tokenizer.</param>
public sealed record GenerationResult(IReadOnlyList<int> TokenIds, string? Text);

/// <summary>A token as it is generated.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Text">
/// The text that it completes: empty for a special token, or while a character is incomplete; null where the model has
/// no tokenizer. The texts of all pieces add up to the whole text.
/// </param>
public sealed record GeneratedPiece(int TokenId, string? Text);

/// <summary>How likely a model finds a row.</summary>
/// <param name="TokenIds">The row's n tokens.</param>
/// <param name="LogProbs">n − 1 natural logarithms: the i-th is log p(id[i + 1] | id[0 … i]).</param>
/// <param name="Loss">The mean of −log p over the scored tokens; null where none is scored, as in a row of one token.</param>
public sealed record RowScore(IReadOnlyList<int> TokenIds, IReadOnlyList<float> LogProbs, double? Loss);
