using System.Text;

namespace BaseModel.Tokenizer;

/// <summary>How often each word occurs. A corpus has few distinct words, and BPE needs no more than their counts.</summary>
internal static class WordCounts
{
    /// <summary>The distinct words of the texts with their counts, in order of first occurrence.</summary>
    public static IReadOnlyList<(string Word, long Count)> Of(IEnumerable<string> texts)
    {
        Dictionary<string, int> places = [];
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = places.GetAlternateLookup<ReadOnlySpan<char>>();
        List<(string Word, long Count)> counts = [];

        foreach (string text in texts)
        {
            foreach (var match in PreTokenizer.Words(text))
            {
                ReadOnlySpan<char> word = text.AsSpan(match.Index, match.Length);
                if (lookup.TryGetValue(word, out int place))
                {
                    counts[place] = (counts[place].Word, counts[place].Count + 1);
                }
                else
                {
                    lookup[word] = counts.Count;
                    counts.Add((word.ToString(), 1));
                }
            }
        }

        return counts;
    }

    /// <summary>A word as the ids of its UTF-8 bytes.</summary>
    public static int[] ByteIds(ReadOnlySpan<char> word)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(word)];
        Encoding.UTF8.GetBytes(word, bytes);
        return Array.ConvertAll(bytes, b => BpeVocabulary.FirstByte + b);
    }
}
