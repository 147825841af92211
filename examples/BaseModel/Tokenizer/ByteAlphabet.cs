namespace BaseModel.Tokenizer;

/// <summary>
/// GPT-2's names for the 256 bytes: a visible character each, so that a vocabulary can be read and written as text.
/// Printable Latin-1 bytes name themselves; the others take the characters from U+0100 on, in order (a blank is "Ġ").
/// </summary>
internal static class ByteAlphabet
{
    /// <summary>The character of each byte.</summary>
    public static readonly char[] Characters = Build();

    private static char[] Build()
    {
        char[] characters = new char[256];
        char next = '\u0100';
        for (int b = 0; b < 256; b++)
        {
            bool visible = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            characters[b] = visible ? (char)b : next++;
        }

        return characters;
    }
}
