using System.Text.RegularExpressions;

namespace BaseModel.Corpus;

/// <summary>
/// Turns a text file into paragraphs, one a line, in plain typography: a small vocabulary should not spend entries on
/// three shapes of the same quotation mark.
/// </summary>
internal static partial class Cleaning
{
    /// <summary>The paragraphs of a document, separated by single line breaks; never a blank line.</summary>
    public static string Clean(string text)
    {
        string plain = StageDirection().Replace(Straighten(text), " ");
        IEnumerable<string> paragraphs =
            from block in ParagraphBreak().Split(plain)
            let paragraph = Blank().Replace(block, " ").Trim()
            where paragraph.Length > 0
            select paragraph;

        return string.Join('\n', paragraphs);
    }

    private static string Straighten(string text)
    {
        System.Text.StringBuilder plain = new(text.Length);
        foreach (char c in text)
        {
            _ = c switch
            {
                '\u2018' or '\u2019' => plain.Append('\''),
                '\u201C' or '\u201D' => plain.Append('"'),
                '\u2014' => plain.Append("--"),
                '\u2010' or '\u2011' or '\u2013' => plain.Append('-'),
                '\u2022' => plain.Append('*'),
                '\r' => plain,
                '\n' => plain.Append('\n'),
                _ when char.IsWhiteSpace(c) => plain.Append(' '),
                _ when char.IsControl(c) || char.GetUnicodeCategory(c) == System.Globalization.UnicodeCategory.Format => plain,
                _ => plain.Append(c),
            };
        }

        return plain.ToString();
    }

    // What a transcriber put between the words of a speech: "(Applause.)", "[laughter]", "[missing text]", footnote and
    // page numbers, and the rules of tables.
    [GeneratedRegex(@"[(\[](?:applause|laughter|missing text|p?\.?\d+)\.?[)\]]|_{2,}", RegexOptions.IgnoreCase)]
    private static partial Regex StageDirection();

    // A blank line ends a paragraph. In the novel four spaces or more stand where a line of verse was broken.
    [GeneratedRegex(@"\n\s*\n|\ {4,}")]
    private static partial Regex ParagraphBreak();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blank();
}
