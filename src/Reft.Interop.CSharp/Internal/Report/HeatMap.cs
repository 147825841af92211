using System.Xml.Linq;
using static Reft.Internal.Markup;

namespace Reft.Internal;

/// <summary>Numbers by site and position, as SVG within a page.</summary>
internal static class HeatMap
{
    private const int Width = 800;
    private const int Left = 190;
    private const int Top = 24;
    private const int RowHeight = 22;
    private const int MostRows = 256;

    /// <summary>The picture; nothing where there are no edits.</summary>
    public static XElement? Draw(string title, IReadOnlyList<EditMeasurement> edits)
    {
        var sites = edits.Select(edit => edit.Site).Distinct().Take(MostRows).ToArray();
        var positions = edits.Select(edit => edit.Position).Distinct().OrderBy(EditProbe.Place).Take(MostRows).ToArray();
        if (sites.Length == 0)
        {
            return null;
        }

        var cells = edits.GroupBy(edit => (edit.Site, edit.Position)).ToDictionary(cell => cell.Key, cell => cell.First());
        var most = cells.Values.Select(edit => edit.Ratio).Where(double.IsFinite).DefaultIfEmpty(0).Max();
        var width = (Width - Left) / (double)positions.Length;
        var every = Math.Max(1, (int)Math.Ceiling(34 / width));
        return Figure(
            title,
            Width,
            Top + (sites.Length * RowHeight) + 4,
            $"{title}, from 0 to {Number(most)}",
            [
                positions.Select((position, i) => i % every == 0
                    ? Text("text", position, new XAttribute("x", Place(Left + ((i + 0.5) * width))), new XAttribute("y", 14), new XAttribute("text-anchor", "middle"))
                    : null),
                sites.Select((site, row) => Text("text", site, new XAttribute("x", Left - 8), new XAttribute("y", Top + (row * RowHeight) + 15), new XAttribute("text-anchor", "end"))),
                from row in Enumerable.Range(0, sites.Length)
                from column in Enumerable.Range(0, positions.Length)
                where cells.ContainsKey((sites[row], positions[column]))
                select Cell(row, column),
            ],
            Text("p", $"Lightest 0, darkest {Number(most)}: the mean of ‖Δ‖ / ‖h‖."));

        XElement Cell(int row, int column)
        {
            var edit = cells[(sites[row], positions[column])];
            var strength = most > 0 && double.IsFinite(edit.Ratio) ? edit.Ratio / most : 0;
            return new XElement(
                "rect",
                new XAttribute("x", Place(Left + (column * width))),
                new XAttribute("y", Top + (row * RowHeight)),
                new XAttribute("width", Place(Math.Max(1, width - 1))),
                new XAttribute("height", RowHeight - 1),
                new XAttribute("fill", "#2563eb"),
                new XAttribute("fill-opacity", Place(0.04 + (0.96 * strength))),
                Text("title", $"{edit.Site}, {edit.Position}: ‖Δ‖ / ‖h‖ {Number(edit.Ratio)}, ‖Δ‖ {Number(edit.Change)}, ‖h‖ {Number(edit.Hidden)}, {edit.Rows} hidden states"));
        }
    }
}
