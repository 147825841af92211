using System.Xml;
using System.Xml.Linq;

namespace Reft.Tests.Monitoring;

/// <summary>What every page must be.</summary>
internal static class Pages
{
    /// <summary>The page as a tree: well-formed, loading nothing, running nothing.</summary>
    public static XElement Read(string page)
    {
        const string Doctype = "<!DOCTYPE html>\n";
        Check.That(page.StartsWith(Doctype, StringComparison.Ordinal), "expected an HTML page");
        using var reader = XmlReader.Create(new StringReader(page[Doctype.Length..]), new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit });
        var root = XElement.Load(reader);
        string[] loading = ["script", "link", "img", "iframe", "object", "embed", "image", "use", "base"];
        Check.Same([], root.Descendants().Select(e => e.Name.LocalName).Where(loading.Contains), "elements that load or run something");
        var attributes = root.DescendantsAndSelf().SelectMany(e => e.Attributes()).ToArray();
        string[] linking = ["src", "href", "srcset", "action", "data"];
        Check.That(
            attributes.All(a => !linking.Contains(a.Name.LocalName) && !a.Name.LocalName.StartsWith("on", StringComparison.Ordinal)),
            "expected no attribute that loads or runs something");
        Check.That(
            attributes.All(a => a.Name.LocalName == "aria-label" || !a.Value.Contains("://", StringComparison.Ordinal)) && !root.Descendants("style").Single().Value.Contains("url(", StringComparison.Ordinal),
            "expected no address");

        // A browser reads <td/> as a beginning without an end.
        string[] voids = ["meta"];
        string[] drawn = ["line", "rect", "circle", "polyline"];
        Check.Same(
            [],
            root.Descendants().Where(e => e.IsEmpty).Select(e => e.Name.LocalName).Except(voids).Except(drawn),
            "elements without an end tag");
        return root;
    }
}
