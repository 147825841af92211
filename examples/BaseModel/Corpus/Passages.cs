using System.Text;
using System.Text.RegularExpressions;

namespace BaseModel.Corpus;

/// <summary>
/// Cuts documents into passages that fit a small model's context. Each begins where a sentence begins, so that the
/// model learns how text starts after &lt;|bos|&gt;: that is where every prompt starts.
/// </summary>
internal static partial class Passages
{
    /// <summary>Characters after which the next sentence opens a new passage: about 250 tokens.</summary>
    private const int Target = 1000;

    /// <summary>A last passage shorter than this, in characters, stays with the one before it.</summary>
    private const int Shortest = 250;

    /// <summary>The passages of a cleaned document (paragraphs on lines of their own), in order.</summary>
    public static IReadOnlyList<string> Split(string document)
    {
        List<string> passages = [];
        StringBuilder passage = new();

        void Close()
        {
            if (passage.Length > 0)
            {
                passages.Add(passage.ToString());
                passage.Clear();
            }
        }

        foreach (string paragraph in document.Split('\n'))
        {
            string separator = "\n";
            foreach (string sentence in SentenceEnd().Split(paragraph))
            {
                if (passage.Length >= Target)
                {
                    Close();
                }

                if (passage.Length > 0)
                {
                    passage.Append(separator);
                }

                passage.Append(sentence);
                separator = " ";
            }
        }

        if (passage.Length < Shortest && passages.Count > 0)
        {
            string tail = passage.ToString();
            passage.Clear().Append(passages[^1]).Append('\n').Append(tail);
            passages.RemoveAt(passages.Count - 1);
        }

        Close();
        return passages;
    }

    // The blank after a full stop and before a capital, unless the stop belongs to a title or an initial.
    [GeneratedRegex("""(?<=[.!?]["')]?)(?<!\b(?:Mr|Mrs|Messrs|Dr|St|Gen|Gov|Hon|No|vs|[A-Z])\.) (?=["'(]?[A-Z])""")]
    private static partial Regex SentenceEnd();
}
