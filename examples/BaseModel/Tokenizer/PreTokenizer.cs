using System.Text.RegularExpressions;

namespace BaseModel.Tokenizer;

/// <summary>
/// Cuts text into words before any merge is applied: no token crosses a cut. The pattern is Llama 3's, so that every
/// reader of its tokenizer can read this one.
/// </summary>
internal static partial class PreTokenizer
{
    public const string Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The words of a text, without a copy. They cover all of it: every character is in one of them.</summary>
    public static Regex.ValueMatchEnumerator Words(ReadOnlySpan<char> text) => Expression().EnumerateMatches(text);

    [GeneratedRegex(Pattern, RegexOptions.CultureInvariant)]
    private static partial Regex Expression();
}
