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
}
