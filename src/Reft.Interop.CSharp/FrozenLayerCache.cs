namespace Reft;

/// <summary>
/// Where the hidden states of rows are kept that enter the lowest layer with an intervention. The layers below it are frozen,
/// so that these are the same in every epoch.
/// </summary>
public sealed record FrozenLayerCache
{
    /// <summary>
    /// The most bytes of hidden states; a token takes the model's hidden width times 4 in fp32, 2 in bf16. Rows that have no
    /// room are computed in each epoch.
    /// </summary>
    public long MaxBytes { get; init; } = 4L << 30;

    /// <summary>
    /// A folder that exists, for a file without a name which ends with the process however that ends; null keeps them in memory.
    /// </summary>
    public string? Folder { get; init; }
}
