using System.Buffers.Binary;

namespace BaseModel.Tokenizer;

/// <summary>
/// Token ids on disk for training: little-endian unsigned 16-bit numbers and nothing else, so that the number of tokens
/// is half the file's length. Each passage is &lt;|bos|&gt;, its tokens, &lt;|eos|&gt;.
/// </summary>
internal static class TokenFile
{
    public static void Write(string path, IReadOnlyList<ushort> ids)
    {
        byte[] bytes = new byte[ids.Count * sizeof(ushort)];
        for (int i = 0; i < ids.Count; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(i * sizeof(ushort)), ids[i]);
        }

        AtomicFile.Write(path, stream => stream.Write(bytes));
    }

    /// <summary>The passages as one stream of ids.</summary>
    public static List<ushort> Encode(BpeEncoder encoder, IEnumerable<string> passages)
    {
        List<ushort> ids = [];
        foreach (string passage in passages)
        {
            ids.Add(SpecialTokens.BosId);
            encoder.Encode(passage, ids);
            ids.Add(SpecialTokens.EosId);
        }

        return ids;
    }
}
