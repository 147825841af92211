namespace BaseModel.Tokenizer;

/// <summary>Two neighbouring tokens that become one.</summary>
internal readonly record struct Merge(int Left, int Right)
{
    /// <summary>The tokens with every occurrence of the pair replaced, from the left.</summary>
    public int[] Replace(ReadOnlySpan<int> tokens, int merged)
    {
        List<int> replaced = new(tokens.Length);
        for (int i = 0; i < tokens.Length; i++)
        {
            bool found = i + 1 < tokens.Length && tokens[i] == Left && tokens[i + 1] == Right;
            replaced.Add(found ? merged : tokens[i]);
            i += found ? 1 : 0;
        }

        return [.. replaced];
    }
}

/// <summary>
/// A byte-level BPE vocabulary. Ids: the special tokens, the 256 bytes, then one token per merge, in the order in which
/// merges apply. The list of merges is therefore all there is to it.
/// </summary>
internal sealed record BpeVocabulary(IReadOnlyList<Merge> Merges)
{
    /// <summary>The id of byte 0.</summary>
    public static readonly int FirstByte = SpecialTokens.All.Count;

    /// <summary>The id of the token that the first merge makes.</summary>
    public static readonly int FirstMerge = FirstByte + 256;

    public int Size => FirstMerge + Merges.Count;

    /// <summary>Each token as it stands in <c>tokenizer.json</c>; the index is the id.</summary>
    public IReadOnlyList<string> Names()
    {
        List<string> names = [.. SpecialTokens.All, .. ByteAlphabet.Characters.Select(char.ToString)];
        foreach (Merge merge in Merges)
        {
            names.Add(names[merge.Left] + names[merge.Right]);
        }

        return names;
    }
}
