namespace Reft.Internal;

/// <summary>Which rows of a window are generated together.</summary>
internal static class LengthBuckets
{
    /// <summary>
    /// Batches of the numbers of rows. Rows of one limit run together: what a row says must not depend on how long the
    /// others' prompts are. Among these, prompts of about the same length, so that little is padded.
    /// </summary>
    /// <param name="lengths">The length of each row's prompt.</param>
    /// <param name="limits">The most new tokens of each row.</param>
    /// <param name="batchSize">The most rows of a batch.</param>
    public static IReadOnlyList<int[]> Of(IReadOnlyList<int> lengths, IReadOnlyList<int> limits, int batchSize) =>
        [.. Enumerable.Range(0, lengths.Count)
            .GroupBy(row => limits[row])
            .SelectMany(rows => rows.OrderBy(row => lengths[row]).Chunk(batchSize))];
}
