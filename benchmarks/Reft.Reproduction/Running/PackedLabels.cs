namespace Reft.Reproduction;

/// <summary>
/// What was right and what was predicted, for each row, as a short text: the number of labels, a colon, the number of rows, a
/// colon, and in base64 four bits a row, 4 · right + predicted; the first row of two in the lower bits. Of 4 labels at most.
/// </summary>
internal static class PackedLabels
{
    private const int MostLabels = 4;

    public static string Pack(IReadOnlyList<int> expected, IReadOnlyList<int> predicted, int labels)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(labels, MostLabels);
        ArgumentOutOfRangeException.ThrowIfNotEqual(predicted.Count, expected.Count);
        var bytes = new byte[(expected.Count + 1) / 2];
        foreach (var (row, (right, found)) in expected.Zip(predicted).Index())
        {
            bytes[row / 2] |= (byte)(((right * MostLabels) + found) << (4 * (row % 2)));
        }

        return $"{labels}:{expected.Count}:{Convert.ToBase64String(bytes)}";
    }

    public static (int Labels, int[] Expected, int[] Predicted) Unpack(string text)
    {
        if (text.Split(':') is not [var first, var second, var base64]
            || !int.TryParse(first, out var labels) || labels is < 1 or > MostLabels
            || !int.TryParse(second, out var count) || count < 0
            || Convert.FromBase64String(base64) is not { } bytes || bytes.Length != (count + 1) / 2)
        {
            throw new InvalidDataException($"expected LABELS:ROWS:BASE64 of half a byte a row, found '{text}'");
        }

        var rows = Enumerable.Range(0, count).Select(row => (bytes[row / 2] >> (4 * (row % 2))) & 15).ToArray();
        return (labels, [.. rows.Select(row => row / MostLabels)], [.. rows.Select(row => row % MostLabels)]);
    }
}
