using BaseModel.Corpus;

namespace Reft.Reproduction;

/// <summary>
/// Texts to memorise: of <i>Moby Dick</i>, what the base models were pretrained on and what was held out; of the State of the
/// Union, held-out passages; and random tokens.
/// </summary>
/// <remarks>The passages are those of <c>examples/BaseModel</c>: its own code cuts them and says which are held out.</remarks>
internal sealed class MobyDick
{
    private MobyDick(IReadOnlyList<string> seen, IReadOnlyList<string> heldOut, IReadOnlyList<string> union, IReadOnlyList<string> unionHeldOut) =>
        (Seen, HeldOut, Union, UnionHeldOut) = (seen, heldOut, union, unionHeldOut);

    /// <summary>The passages of the novel that the base models were pretrained on, in reading order.</summary>
    public IReadOnlyList<string> Seen { get; }

    /// <summary>The passages of the novel that were held out, one in a hundred, in reading order.</summary>
    public IReadOnlyList<string> HeldOut { get; }

    /// <summary>The passages of the State of the Union that the base models were pretrained on.</summary>
    public IReadOnlyList<string> Union { get; }

    /// <summary>Those that were held out.</summary>
    public IReadOnlyList<string> UnionHeldOut { get; }

    /// <summary>Reads and cuts the texts as the corpus of the base models is made.</summary>
    public static MobyDick Read(string packages)
    {
        int addresses = Directory.EnumerateFiles(StdlibDatasets.Folder(packages, "sotu"), "*.txt").Count();
        List<string> union = [], unionHeldOut = [], seen = [], heldOut = [];
        int index = 0;
        foreach (var (document, text) in StdlibTexts.Read(packages).Index())
        {
            foreach (string passage in Passages.Split(text))
            {
                bool held = CorpusFile.IsHeldOut(index++);
                (document < addresses ? held ? unionHeldOut : union : held ? heldOut : seen).Add(passage);
            }
        }

        return new(seen, heldOut, union, unionHeldOut);
    }

    /// <summary>
    /// The first so many tokens of passages, one after another. Seen passages follow each other in the novel but for those
    /// held out between them; held-out ones do not.
    /// </summary>
    /// <param name="passages">Passages, the first to be taken first.</param>
    /// <param name="tokenizer">A model's tokenizer.</param>
    /// <param name="count">The number of tokens.</param>
    /// <exception cref="ArgumentException">There are not so many.</exception>
    public static IReadOnlyList<int> Tokens(IEnumerable<string> passages, ModelTokenizer tokenizer, int count)
    {
        List<int> ids = [];
        foreach (string passage in passages)
        {
            if (ids.Count >= count)
            {
                break;
            }

            ids.AddRange(tokenizer.Encode(ids.Count == 0 ? passage : "\n" + passage, addSpecial: false));
        }

        return ids.Count >= count ? [.. ids.Take(count)] : throw new ArgumentException($"expected {count} tokens, found {ids.Count}", nameof(count));
    }

    /// <summary>Tokens drawn evenly from a vocabulary, special ones left out.</summary>
    public static IReadOnlyList<int> RandomTokens(ModelTokenizer tokenizer, int count, int seed)
    {
        Random random = new(seed);
        List<int> ids = [];
        while (ids.Count < count)
        {
            int id = random.Next(tokenizer.VocabularySize);
            if (!tokenizer.IsSpecial(id))
            {
                ids.Add(id);
            }
        }

        return ids;
    }

    /// <summary>How many passages there are.</summary>
    public static string Describe(string packages)
    {
        MobyDick texts = Read(packages);
        return $"passages of the base models' text: Moby Dick {texts.Seen.Count} and {texts.HeldOut.Count} held out, State of the Union {texts.Union.Count} and {texts.UnionHeldOut.Count} held out";
    }
}
