namespace Reft;

/// <summary>What pyreft does not save with an adapter, and so whoever loads one has to say: as it was in training.</summary>
public sealed record PyreftImportOptions
{
    /// <summary>The tokens that were edited: <c>Positions.Parse("f7+l7")</c>, say.</summary>
    public required Positions Positions { get; init; }

    /// <summary>What becomes of positions that a short prompt has not.</summary>
    public ShortPromptRule ShortPrompt { get; init; } = ShortPromptRule.Pyreft;

    /// <summary>The activation (pyreft's act_fn) of the methods that have one: <c>linear</c>, <c>relu</c>, <c>gelu</c>, …</summary>
    public string Activation { get; init; } = "linear";

    /// <summary>The rate of pyreft's dropout, for training further; nothing is dropped at inference.</summary>
    public double Dropout { get; init; }
}
