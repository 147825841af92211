using System.Globalization;
using System.Text;
using System.Xml;
using System.Xml.Linq;

namespace Reft.Internal;

/// <summary>
/// Pages that are one file: well-formed markup in one tree, so that whatever a log or a row says is text and never markup, and
/// nothing that a browser would load from elsewhere.
/// </summary>
internal static class Markup
{
    private const int LongestText = 20_000;

    // Colours of text and lines follow the reader's choice of light or dark.
    private const string Style =
        """
        :root { color-scheme: light dark; --edge: #8888; --soft: #8881; }
        body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
        table { border-collapse: collapse; } th, td { border: 1px solid var(--edge); padding: .2rem .5rem; text-align: left; vertical-align: top; }
        td.text { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 24rem; }
        details { margin: .5rem 0; } summary { cursor: pointer; }
        svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
        svg text { fill: currentColor; } .axis { stroke: currentColor; stroke-width: 1; } .grid { stroke: var(--edge); stroke-width: .5; }
        .legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: 13px; padding: 0; list-style: none; }
        .swatch { display: inline-block; width: .9rem; height: .9rem; border-radius: 2px; margin-right: .3rem; vertical-align: -2px; }
        """;

    private static readonly XmlWriterSettings Settings = new() { OmitXmlDeclaration = true, Indent = true, IndentChars = " " };

    /// <summary>A whole page.</summary>
    public static string Page(string title, params object?[] body)
    {
        var page = new XElement(
            "html",
            new XAttribute("lang", "en"),
            new XElement(
                "head",
                new XElement("meta", new XAttribute("charset", "utf-8")),
                new XElement("meta", new XAttribute("name", "viewport"), new XAttribute("content", "width=device-width, initial-scale=1")),
                Text("title", title),
                new XElement("style", Style)),
            new XElement("body", new XElement("main", Text("h1", title), body)));
        var text = new StringBuilder("<!DOCTYPE html>\n");
        using (var writer = XmlWriter.Create(text, Settings))
        {
            page.Save(writer);
        }

        return text.Append('\n').ToString();
    }

    /// <summary>Writes a page in the place of an older one.</summary>
    public static void Save(string path, string page)
    {
        Action<Stream> write = stream => stream.Write(Encoding.UTF8.GetBytes(page));
        Core.AtomicFile.write(path, write.ToFSharpFunc());
    }

    /// <summary>An element with a text. An empty one keeps its end tag, without which a browser would go on with it.</summary>
    public static XElement Text(string name, string text, params object?[] more) => new(name, more, Plain(text));

    /// <summary>A picture under a heading.</summary>
    /// <param name="title">The heading.</param>
    /// <param name="width">The picture's own units across.</param>
    /// <param name="height">And down.</param>
    /// <param name="label">What it shows, for those who do not see it.</param>
    /// <param name="drawn">What is drawn.</param>
    /// <param name="below">What stands under the picture; null for nothing.</param>
    public static XElement Figure(
        string? title, int width, int height, string label, IEnumerable<object?> drawn, XElement? below = null) =>
        new(
            "figure",
            new XAttribute("style", "margin:0"),
            title is null ? null : Text("h2", title),
            new XElement(
                "svg",
                new XAttribute("viewBox", $"0 0 {width} {height}"),
                new XAttribute("role", "img"),
                new XAttribute("aria-label", Plain(label)),
                drawn),
            below);

    /// <summary>A text without the characters that no markup may hold, and not endless.</summary>
    public static string Plain(string text)
    {
        var shown = text.Length > LongestText ? text[..LongestText] + "…" : text;
        var plain = new StringBuilder(shown.Length);
        for (var i = 0; i < shown.Length; i++)
        {
            if (i + 1 < shown.Length && XmlConvert.IsXmlSurrogatePair(shown[i + 1], shown[i]))
            {
                plain.Append(shown[i]).Append(shown[++i]);
            }
            else
            {
                plain.Append(XmlConvert.IsXmlChar(shown[i]) ? shown[i] : '\uFFFD');
            }
        }

        return plain.ToString();
    }

    /// <summary>A table.</summary>
    public static XElement Table(IEnumerable<string> heads, IEnumerable<IEnumerable<string>> rows, bool isText = false) =>
        new(
            "table",
            new XElement("thead", new XElement("tr", heads.Select(head => Text("th", head, new XAttribute("scope", "col"))))),
            new XElement("tbody", rows.Select(row => new XElement(
                "tr", row.Select(cell => Text("td", cell, isText ? new XAttribute("class", "text") : null))))));

    /// <summary>What a reader may open.</summary>
    public static XElement Details(string summary, params object?[] content) =>
        new("details", Text("summary", summary), content);

    /// <summary>A number for people.</summary>
    public static string Number(double value) =>
        double.IsFinite(value) ? value.ToString(Math.Abs(value) is >= 1e-3 and < 1e6 or 0 ? "0.####" : "0.###e0", CultureInfo.InvariantCulture) : "–";

    /// <summary>A coordinate.</summary>
    public static string Place(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);
}
