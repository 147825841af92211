namespace Reft.Reproduction;

/// <summary>Shortens texts.</summary>
internal static class TextCut
{
    /// <summary>The beginning of a text, at most so many characters and whole words.</summary>
    public static string AtWord(string text, int characters)
    {
        if (text.Length <= characters)
        {
            return text;
        }

        int end = text.LastIndexOf(' ', characters);
        return text[..(end > 0 ? end : characters)];
    }
}
