namespace BaseModel.Tokenizer;

/// <summary>Encodes text with a vocabulary. Words are encoded once and remembered: a corpus repeats them.</summary>
internal sealed class BpeEncoder
{
    private readonly Dictionary<Merge, int> _merged;                // pair → the id it becomes; a smaller id merges first
    private readonly Dictionary<string, ushort[]> _cache = [];
    private readonly Dictionary<string, ushort[]>.AlternateLookup<ReadOnlySpan<char>> _lookup;

    public BpeEncoder(BpeVocabulary vocabulary)
    {
        _merged = vocabulary.Merges.Index().ToDictionary(entry => entry.Item, entry => BpeVocabulary.FirstMerge + entry.Index);
        _lookup = _cache.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Appends the ids of a text, without special tokens.</summary>
    public void Encode(ReadOnlySpan<char> text, List<ushort> ids)
    {
        foreach (var match in PreTokenizer.Words(text))
        {
            ReadOnlySpan<char> word = text.Slice(match.Index, match.Length);
            if (!_lookup.TryGetValue(word, out ushort[]? tokens))
            {
                tokens = EncodeWord(word);
                _lookup[word] = tokens;
            }

            ids.AddRange(tokens);
        }
    }

    private ushort[] EncodeWord(ReadOnlySpan<char> word)
    {
        int[] tokens = WordCounts.ByteIds(word);
        while (FirstMerge(tokens) is (Merge pair, int merged))
        {
            tokens = pair.Replace(tokens, merged);
        }

        return Array.ConvertAll(tokens, token => (ushort)token);
    }

    /// <summary>Of the merges that apply to the tokens, the one learnt first.</summary>
    private (Merge Pair, int Merged)? FirstMerge(int[] tokens)
    {
        (Merge Pair, int Merged)? first = null;
        for (int i = 0; i + 1 < tokens.Length; i++)
        {
            Merge pair = new(tokens[i], tokens[i + 1]);
            if (_merged.TryGetValue(pair, out int merged) && (first is null || merged < first.Value.Merged))
            {
                first = (pair, merged);
            }
        }

        return first;
    }
}
