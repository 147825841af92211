namespace Reft;

/// <summary>A beam search, as transformers 5 does it.</summary>
public sealed record BeamOptions
{
    /// <summary>How many unfinished texts are followed for each row; with 1 there is no search, as without beams.</summary>
    public int Count { get; init; } = 4;

    /// <summary>
    /// The power of the number of new tokens that a finished text's log-probability is divided by: above 0 longer texts gain,
    /// below 0 shorter ones.
    /// </summary>
    public double LengthPenalty { get; init; } = 1;

    /// <summary>When the search ends.</summary>
    public EarlyStopping EarlyStopping { get; init; }

    /// <summary>
    /// How many texts are returned for each row, at most <see cref="Count"/>: the best is the row's result, the others are
    /// its <see cref="GenerationResult.Alternatives"/>.
    /// </summary>
    public int ReturnedSequences { get; init; } = 1;
}

/// <summary>When a beam search ends, besides at the most tokens.</summary>
public enum EarlyStopping
{
    /// <summary>
    /// When there are as many finished texts as beams and the best unfinished one, at its present length, scores no better than
    /// the worst of them: <c>early_stopping=False</c> of transformers.
    /// </summary>
    Unlikely,

    /// <summary>As soon as there are as many finished texts as beams: <c>early_stopping=True</c>.</summary>
    Full,

    /// <summary>When no unfinished text can become better than the worst finished one: <c>early_stopping="never"</c>.</summary>
    Never,
}
