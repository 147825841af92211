namespace Reft;

/// <summary>How the rows of an epoch are put into batches. Whichever it is, each row is in each epoch once.</summary>
public sealed record TrainingBatching
{
    private TrainingBatching(Core.Batching core) => Core = core;

    /// <summary>As they come, or as they are shuffled.</summary>
    public static TrainingBatching InOrder { get; } = new(Reft.Core.Batching.InOrder);

    internal Core.Batching Core { get; }

    /// <summary>
    /// Rows of about the same length together, so that little is padded: within windows of so many batches rows are sorted by
    /// length, and the batches are then shuffled.
    /// </summary>
    /// <param name="window">Batches of a window: a larger one pads less and shuffles less.</param>
    /// <exception cref="ArgumentOutOfRangeException">The window is not positive.</exception>
    public static TrainingBatching ByLength(int window = 50)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        return new(Reft.Core.Batching.NewByLength(window));
    }

    /// <summary>
    /// Several rows one after another in one of at most so many tokens, which <see cref="TrainingOptions.BatchSize"/> then
    /// counts. None sees another, and loss and gradients are those of the rows apart.
    /// </summary>
    /// <param name="tokens">The most tokens of a packed row; no row may be longer. It may be more than the model's context.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no room for two tokens.</exception>
    public static TrainingBatching Packed(int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 2);
        return new(Reft.Core.Batching.NewPacked(tokens));
    }

    /// <summary>Its name, with its number.</summary>
    public override string ToString() => Core switch
    {
        Core.Batching.ByLength byLength => $"by length, within {byLength.window} batches",
        Core.Batching.Packed packed => $"packed in rows of {packed.columns} tokens",
        _ => "in order",
    };
}
