namespace Reft;

/// <summary>What a model says of a row before and after it was trained.</summary>
public sealed record TrainingSample
{
    /// <summary>The row: its prompt or text, or its token ids.</summary>
    public required string Input { get; init; }

    /// <summary>What it should say; null where that is not known.</summary>
    public string? Expected { get; init; }

    /// <summary>What it said before; null where it was not asked.</summary>
    public string? Before { get; init; }

    /// <summary>What it says after; null where it was not asked.</summary>
    public string? After { get; init; }
}
