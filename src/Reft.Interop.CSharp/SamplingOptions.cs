namespace Reft;

/// <summary>
/// How tokens are drawn. The logits are warped in this order: temperature, top-k, top-p, min-p. Each row draws from a stream
/// of its own, of the seed and the row's number in the whole input: what it draws does not depend on the batch it is in.
/// </summary>
public sealed record SamplingOptions
{
    /// <summary>What logits are divided by: below 1 likely tokens become likelier.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only this many of the most likely tokens remain; all where it is not given.</summary>
    public int? TopK { get; init; }

    /// <summary>Only the most likely tokens remain, as few as make up this probability; all where it is not given.</summary>
    public double? TopP { get; init; }

    /// <summary>Only tokens remain that are at least this many times as likely as the most likely one; all where it is not given.</summary>
    public double? MinP { get; init; }

    /// <summary>The seed: the same gives the same texts.</summary>
    public long Seed { get; init; }
}
