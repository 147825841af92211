namespace Reft.Reproduction;

/// <summary>
/// What was right and what was predicted, for each row, as a short text: the number of labels, a colon, the number of rows, a
/// colon, and in base64 the rows, the first in the lowest bits. A label takes one bit where there are two, else two bits; of a
/// row the predicted one stands below the right one. Of 4 labels at most.
/// </summary>
internal static class PackedLabels
{
    private const int MostLabels = 4;

    public static string Pack(IReadOnlyList<int> expected, IReadOnlyList<int> predicted, int labels)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(labels, MostLabels);
        ArgumentOutOfRangeException.ThrowIfNotEqual(predicted.Count, expected.Count);
        var bits = BitsOf(labels);
        var bytes = new byte[BytesOf(expected.Count, bits)];
        foreach (var (row, (right, found)) in expected.Zip(predicted).Index())
        {
            var place = row * 2 * bits;
            bytes[place / 8] |= (byte)(((right << bits) | found) << (place % 8));
        }

        return $"{labels}:{expected.Count}:{Convert.ToBase64String(bytes)}";
    }

    public static (int Labels, int[] Expected, int[] Predicted) Unpack(string text)
    {
        if (text.Split(':') is not [var first, var second, var base64]
            || !int.TryParse(first, out var labels) || labels is < 1 or > MostLabels
            || !int.TryParse(second, out var count) || count < 0
            || Convert.FromBase64String(base64) is not { } bytes || bytes.Length != BytesOf(count, BitsOf(labels)))
        {
            throw new InvalidDataException($"expected LABELS:ROWS:BASE64 of {nameof(PackedLabels)}, found '{text}'");
        }

        var bits = BitsOf(labels);
        var mask = (1 << bits) - 1;
        var rows = Enumerable.Range(0, count).Select(row => bytes[row * 2 * bits / 8] >> (row * 2 * bits % 8)).ToArray();
        return (labels, [.. rows.Select(row => (row >> bits) & mask)], [.. rows.Select(row => row & mask)]);
    }

    private static int BitsOf(int labels) => labels <= 2 ? 1 : 2;

    private static int BytesOf(int rows, int bits) => ((rows * 2 * bits) + 7) / 8;
}
