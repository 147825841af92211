namespace BaseModel.Tokenizer;

/// <summary>
/// Learns a byte-level BPE vocabulary (Sennrich, Haddow and Birch, ACL 2016): merge the most frequent pair of
/// neighbours, again and again. Only the words that hold the pair are touched by a merge, and the queue of pairs is
/// corrected lazily, so that thousands of merges cost seconds. Ties go to the pair with the smaller ids: the same
/// corpus always gives the same vocabulary.
/// </summary>
internal sealed class BpeTrainer
{
    private readonly long[] _counts;                                // by word
    private readonly int[][] _words;                                // by word: its tokens now
    private readonly Dictionary<Merge, long> _pairCounts = [];
    private readonly Dictionary<Merge, HashSet<int>> _pairWords = [];
    private readonly PriorityQueue<Merge, (long Count, Merge Pair)> _queue = new(MostFrequentFirst);

    private static readonly Comparer<(long Count, Merge Pair)> MostFrequentFirst = Comparer<(long Count, Merge Pair)>.Create(
        (a, b) =>
            a.Count != b.Count ? b.Count.CompareTo(a.Count)
            : a.Pair.Left != b.Pair.Left ? a.Pair.Left.CompareTo(b.Pair.Left)
            : a.Pair.Right.CompareTo(b.Pair.Right));

    private BpeTrainer(IReadOnlyList<(string Word, long Count)> words)
    {
        _counts = [.. words.Select(word => word.Count)];
        _words = [.. words.Select(word => WordCounts.ByteIds(word.Word))];

        HashSet<Merge> changed = [];
        for (int word = 0; word < _words.Length; word++)
        {
            CountPairs(word, +1, changed);
        }

        Enqueue(changed);
    }

    /// <summary>Learns merges until the vocabulary has <paramref name="size"/> tokens or no pair occurs twice.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// The size has no room for the bytes and special tokens, or ids would not fit 16 bits.
    /// </exception>
    public static BpeVocabulary Train(IEnumerable<string> texts, int size)
    {
        if (size < BpeVocabulary.FirstMerge || size > ushort.MaxValue + 1)
        {
            throw new ArgumentOutOfRangeException(
                nameof(size), size, $"expected a vocabulary of {BpeVocabulary.FirstMerge} to {ushort.MaxValue + 1} tokens");
        }

        BpeTrainer trainer = new(WordCounts.Of(texts));
        List<Merge> merges = [];
        while (BpeVocabulary.FirstMerge + merges.Count < size && trainer.NextPair() is Merge best)
        {
            trainer.Apply(best, BpeVocabulary.FirstMerge + merges.Count);
            merges.Add(best);
        }

        return new BpeVocabulary(merges);
    }

    /// <summary>The most frequent pair, or null when none occurs more than once.</summary>
    private Merge? NextPair()
    {
        while (_queue.TryDequeue(out Merge pair, out (long Count, Merge) priority))
        {
            // An entry that is out of date was followed by a newer one when the count changed.
            if (_pairCounts.TryGetValue(pair, out long count) && count == priority.Count)
            {
                return count > 1 ? pair : null;
            }
        }

        return null;
    }

    private void Apply(Merge pair, int merged)
    {
        HashSet<Merge> changed = [];
        foreach (int word in _pairWords[pair].ToArray())
        {
            CountPairs(word, -1, changed);
            _words[word] = pair.Replace(_words[word], merged);
            CountPairs(word, +1, changed);
        }

        Enqueue(changed);
    }

    /// <summary>Adds (or with −1 takes away) the pairs of a word, and notes which pairs that changed.</summary>
    private void CountPairs(int word, int sign, HashSet<Merge> changed)
    {
        int[] tokens = _words[word];
        for (int i = 0; i + 1 < tokens.Length; i++)
        {
            Merge pair = new(tokens[i], tokens[i + 1]);
            changed.Add(pair);
            _pairCounts[pair] = _pairCounts.GetValueOrDefault(pair) + (sign * _counts[word]);

            if (sign < 0)
            {
                _pairWords[pair].Remove(word);
            }
            else if (_pairWords.TryGetValue(pair, out HashSet<int>? words))
            {
                words.Add(word);
            }
            else
            {
                _pairWords[pair] = [word];
            }
        }
    }

    private void Enqueue(HashSet<Merge> changed)
    {
        foreach (Merge pair in changed)
        {
            long count = _pairCounts[pair];
            if (count > 0)
            {
                _queue.Enqueue(pair, (count, pair));
            }
            else
            {
                _pairCounts.Remove(pair);
                _pairWords.Remove(pair);
            }
        }
    }
}
