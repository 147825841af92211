using System.Text;
using BaseModel;
using ScottPlot;

namespace Reft.Reproduction;

/// <summary>
/// A page of Markdown whose tables are written by a program and whose prose by hand: a table NAME stands between
/// <c>&lt;!-- table:NAME --&gt;</c> and <c>&lt;!-- end --&gt;</c>. Pictures lie in a folder beside it, of the page's name.
/// </summary>
internal sealed class ReportPage(string path)
{
    /// <summary>What a cell without a result says.</summary>
    public const string NotRun = "not run";

    private readonly List<string> _missing = [];
    private string _text = File.ReadAllText(path);

    /// <summary>Tables that were written and have no place on the page.</summary>
    public IReadOnlyList<string> Missing => _missing;

    /// <summary>The folder of the pictures.</summary>
    public string Pictures { get; } = Path.ChangeExtension(path, null);

    /// <summary>Puts a table in its place. Columns of numbers are aligned to the right.</summary>
    public void Table(string name, IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows)
    {
        IReadOnlyList<string>[] all = [.. rows];
        var text = new StringBuilder();
        Line(header);
        Line([.. header.Select((_, column) => IsNumeric(column) ? "---:" : "---")]);
        foreach (var row in all)
        {
            Line(row.Count == header.Count
                ? row
                : throw new ArgumentException($"table {name}: expected {header.Count} cells, found {row.Count}", nameof(rows)));
        }

        Text(name, text.ToString());

        void Line(IEnumerable<string> cells) => text.Append("| ").AppendJoin(" | ", cells.Select(Escaped)).Append(" |\n");

        bool IsNumeric(int column) => all.Length > 0
            && all.Any(row => row[column].Any(char.IsAsciiDigit))
            && all.All(row => row[column] is "" or NotRun or [>= '0' and <= '9' or '-' or '+' or '−' or '<', ..]);

        static string Escaped(string cell) => cell.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");
    }

    /// <summary>Puts lines of Markdown in the place of a name.</summary>
    public void Text(string name, string markdown)
    {
        var begin = $"<!-- table:{name} -->\n";
        const string End = "<!-- end -->";
        var start = _text.IndexOf(begin, StringComparison.Ordinal);
        var end = start < 0 ? -1 : _text.IndexOf(End, start, StringComparison.Ordinal);
        if (end < 0)
        {
            _missing.Add(name);
            return;
        }

        _text = string.Concat(_text.AsSpan(0, start + begin.Length), "\n" + markdown.TrimEnd('\n') + "\n\n", _text.AsSpan(end));
    }

    /// <summary>Saves a picture as <c>NAME.png</c> in <see cref="Pictures"/>.</summary>
    public void Picture(string name, Plot plot, int width = 900, int height = 600) => Save(name, plot.GetImage(width, height));

    /// <summary>The same of several plots in one picture.</summary>
    public void Picture(string name, Multiplot plots, int width, int height) => Save(name, plots.Render(width, height));

    /// <summary>Writes the page.</summary>
    public void Save() => AtomicFile.WriteText(path, _text);

    private void Save(string name, Image image)
    {
        Directory.CreateDirectory(Pictures);
        AtomicFile.Write(Path.Combine(Pictures, name + ".png"), stream => stream.Write(image.GetImageBytes()));
    }
}
