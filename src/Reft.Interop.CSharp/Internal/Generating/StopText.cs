namespace Reft.Internal;

/// <summary>Stop strings, looked for in the text of new tokens.</summary>
/// <param name="strings">The strings; none is empty.</param>
/// <param name="tokenizer">What turns tokens into text.</param>
internal sealed class StopText(IReadOnlyList<string> strings, Core.TextTokenizer tokenizer)
{
    // A string that the newest token completes lies in the last tokens: few of them add no character of their own.
    private readonly int _tail = Math.Max(64, 8 * strings.Max(text => text.Length));

    public IReadOnlyList<string> Strings => strings;

    /// <summary>Whether the text of these tokens holds a stop string, none of whose beginnings did.</summary>
    public bool Ends(IReadOnlyList<int> ids) => Find(tokenizer.Decode(ids.Skip(ids.Count - _tail), true)) >= 0;

    /// <summary>The text before the first stop string; all of it where there is none.</summary>
    public string Cut(string text) => Find(text) is >= 0 and var place ? text[..place] : text;

    /// <summary>Where the first stop string of a text begins; −1 where there is none.</summary>
    public int Find(string text)
    {
        var first = -1;
        foreach (var place in strings.Select(stop => text.IndexOf(stop, StringComparison.Ordinal)))
        {
            first = place >= 0 && (first < 0 || place < first) ? place : first;
        }

        return first;
    }

    /// <summary>How many characters at the end of a text may be the beginning of a stop string.</summary>
    public int Pending(string text)
    {
        for (var start = Math.Max(0, text.Length - strings.Max(stop => stop.Length) + 1); start < text.Length; start++)
        {
            var end = text.AsSpan(start);
            foreach (var stop in strings)
            {
                if (stop.AsSpan().StartsWith(end, StringComparison.Ordinal))
                {
                    return end.Length;
                }
            }
        }

        return 0;
    }
}
