namespace Reft;

/// <summary>What a model generated after a prompt.</summary>
/// <param name="TokenIds">The new tokens; an end-of-sequence token that was generated is the last of them.</param>
/// <param name="Text">
/// Their text without special tokens, up to the first stop string; null where the model has no tokenizer.
/// </param>
public sealed record GenerationResult(IReadOnlyList<int> TokenIds, string? Text)
{
    /// <summary>Why there are no more.</summary>
    public FinishReason FinishReason { get; init; } = FinishReason.Length;

    /// <summary>
    /// In a beam search, the sum of the tokens' log-probabilities over (number of tokens) ^ LengthPenalty; else null.
    /// </summary>
    public double? Score { get; init; }

    /// <summary>The other texts of a beam search that were asked for, best first.</summary>
    public IReadOnlyList<GenerationResult> Alternatives { get; init; } = [];
}

/// <summary>Why a generated text ended.</summary>
public enum FinishReason
{
    /// <summary>It has as many tokens as were asked for, or as the model's context has room for.</summary>
    Length,

    /// <summary>Its last token is an end-of-sequence token, or one of <see cref="GenerationOptions.StopIds"/>.</summary>
    EndToken,

    /// <summary>It holds one of <see cref="GenerationOptions.StopStrings"/>.</summary>
    StopString,
}

/// <summary>A token as it is generated.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Text">
/// The text that it completes: empty for a special token, while a character is incomplete, or while the text may be the
/// beginning of a stop string; null where the model has no tokenizer. The texts of all pieces add up to the whole text.
/// </param>
public sealed record GeneratedPiece(int TokenId, string? Text)
{
    /// <summary>Why the text ends with this token; null where it goes on.</summary>
    public FinishReason? FinishReason { get; init; }
}
