using System.Collections;

namespace Reft.Reproduction;

/// <summary>Right or wrong for each row, as a short text: the number of rows, a colon, and the bits in base64.</summary>
internal static class PackedRows
{
    public static string Pack(IReadOnlyList<bool> rows)
    {
        var bits = new BitArray([.. rows]);
        var bytes = new byte[(rows.Count + 7) / 8];
        bits.CopyTo(bytes, 0);
        return $"{rows.Count}:{Convert.ToBase64String(bytes)}";
    }

    public static bool[] Unpack(string text)
    {
        var parts = text.Split(':');
        if (parts.Length != 2 || !int.TryParse(parts[0], out var count) || count < 0)
        {
            throw new InvalidDataException($"expected COUNT:BASE64, found '{text}'");
        }

        var bytes = Convert.FromBase64String(parts[1]);
        if (bytes.Length != (count + 7) / 8)
        {
            throw new InvalidDataException($"expected {(count + 7) / 8} bytes for {count} rows, found {bytes.Length}");
        }

        var bits = new BitArray(bytes);
        return [.. Enumerable.Range(0, count).Select(row => bits[row])];
    }
}
