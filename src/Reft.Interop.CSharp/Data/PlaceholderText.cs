using System.Text;

namespace Reft.Internal;

/// <summary>A text with names of columns in braces; <c>{{</c> and <c>}}</c> are braces themselves.</summary>
internal sealed class PlaceholderText
{
    private readonly (string Text, bool IsColumn)[] _parts;

    private PlaceholderText((string Text, bool IsColumn)[] parts) => _parts = parts;

    public IEnumerable<string> Columns => _parts.Where(part => part.IsColumn).Select(part => part.Text);

    /// <exception cref="ArgumentException">A brace has no partner, or no name in it.</exception>
    public static PlaceholderText Parse(string text, string parameter)
    {
        ArgumentNullException.ThrowIfNull(text, parameter);
        var parts = new List<(string, bool)>();
        var plain = new StringBuilder();
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] is not ('{' or '}'))
            {
                plain.Append(text[i]);
            }
            else if (i + 1 < text.Length && text[i + 1] == text[i])
            {
                plain.Append(text[i++]);
            }
            else if (text[i] == '{' && text.IndexOfAny(['{', '}'], i + 1) is var end and > 0 && text[end] == '}' && end > i + 1)
            {
                parts.Add((plain.ToString(), false));
                parts.Add((text[(i + 1)..end], true));
                plain.Clear();
                i = end;
            }
            else
            {
                throw new ArgumentException(
                    $"character {i + 1} of the template is a '{text[i]}' that belongs to no {{column}}: a brace itself is doubled", parameter);
            }
        }

        parts.Add((plain.ToString(), false));
        return new([.. parts]);
    }

    public string Fill(RawRow row) => string.Concat(_parts.Select(part => part.IsColumn ? row.ColumnText(part.Text) : part.Text));
}
