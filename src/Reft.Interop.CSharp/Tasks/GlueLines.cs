using System.Text;

namespace Reft.Internal;

/// <summary>A line of a tab-separated file.</summary>
/// <param name="source">Where it is, for messages.</param>
/// <param name="columns">Which column is where.</param>
/// <param name="cells">Its values.</param>
internal readonly struct GlueLine(string source, IReadOnlyDictionary<string, int> columns, string[] cells)
{
    /// <summary>Where it is, for messages.</summary>
    public string Source => source;

    /// <summary>The value of a column.</summary>
    public string this[string column] =>
        columns.TryGetValue(column, out var place)
            ? cells[place]
            : throw RowError.Of(
                source, column, $"there is no such column in the file's first line: found {string.Join(", ", columns.Keys.Take(30))}");
}

/// <summary>
/// A tab-separated file as GLUE publishes them: a line is a row, and a quote is a character like any other. The first line names
/// the columns, but for files without names.
/// </summary>
/// <param name="path">The file.</param>
/// <param name="unnamed">How many columns a file without names has; null where the first line names them.</param>
internal sealed class GlueLines(string path, int? unnamed)
{
    /// <summary>How many of the lines read so far had too few columns, and were passed over.</summary>
    public int Incomplete { get; private set; }

    /// <summary>Its rows.</summary>
    /// <exception cref="InvalidDataException">The file is empty, not UTF-8, or no line has all columns.</exception>
    public IEnumerable<GlueLine> Rows()
    {
        // A byte-order mark must not exchange the encoding for one that is not strict.
        using var reader = new StreamReader(path, RowReader.StrictUtf8, detectEncodingFromByteOrderMarks: false);
        Dictionary<string, int>? columns = unnamed is { } count
            ? Enumerable.Range(0, count).ToDictionary(i => $"{i}")
            : null;
        var (any, number) = (false, 0);
        while (NextLine(reader, ++number) is { } line)
        {
            if (line.Length == 0)
            {
                continue;
            }

            var source = $"{path}:{number}";
            var cells = line.Split('\t');
            if (columns is null)
            {
                columns = Named(cells, source);
            }
            else if (cells.Length < columns.Count)
            {
                Incomplete++;
            }
            else
            {
                any = true;
                yield return new GlueLine(source, columns, cells);
            }
        }

        if (!any && (columns is null || Incomplete > 0))
        {
            throw RowError.Of(path, null, columns is null
                ? "the file is empty: expected the columns' names in its first line"
                : $"expected {columns.Count} values between tabs in each line, found no line that has them");
        }
    }

    private string? NextLine(StreamReader reader, int number)
    {
        try
        {
            var line = reader.ReadLine();
            return number == 1 ? line?.TrimStart('\uFEFF') : line;
        }
        catch (DecoderFallbackException e)
        {
            throw RowError.Of($"{path}:{number}", null, "the file is not UTF-8", e);
        }
    }

    private static Dictionary<string, int> Named(string[] names, string source)
    {
        var columns = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < names.Length; i++)
        {
            if (!columns.TryAdd(names[i], i))
            {
                throw RowError.Of(source, null, $"expected each column once, found '{names[i]}' twice");
            }
        }

        return columns;
    }
}
