using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>
/// Values separated by commas or tabs, as in RFC 4180: the first record names the columns, a value with separators, quotes or
/// ends of lines stands in quotes, and quotes in it are doubled. An empty value is none unless it stands in quotes.
/// </summary>
/// <remarks>Read here and by no package: packages do not say at which byte a record begins, and rows are read again by that.</remarks>
internal sealed class CsvFile(string path, byte separator, DataOptions options) : RecordFile(path, options)
{
    private const byte Quote = (byte)'"';
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private string[]? _columns;

    private enum Place
    {
        Start,
        Bare,
        Quoted,
        AfterQuote,
    }

    protected override bool IsText => true;

    public override IEnumerable<Record> Scan()
    {
        using var feed = Feed();
        var named = false;
        for (var number = 1; ;)
        {
            var length = RecordLength(feed, number);
            if (length == 0)
            {
                break;
            }

            if (feed.Window[..length].Trim("\r\n"u8).IsEmpty)
            {
                // A blank line.
            }
            else if (!named)
            {
                _columns = Header(feed.Take(length), SourceOf(number));
                named = true;
            }
            else
            {
                yield return new Record(feed.Position, number, feed.Take(length));
            }

            number += feed.Window[..length].Count((byte)'\n');
            feed.Advance(length);
        }

        if (!named)
        {
            throw RowError.Of(Path, null, "the file is empty: expected the columns' names in its first line");
        }
    }

    protected override JsonDocument Parse(ReadOnlyMemory<byte> bytes, string source)
    {
        var columns = _columns ?? throw new InvalidOperationException("rows of CSV are read after its header");
        var cells = Cells(bytes.Span, source);
        if (cells.Count != columns.Length)
        {
            throw RowError.Of(
                source, null, $"expected {columns.Length} values, one for each column of the first line, found {cells.Count}");
        }

        var row = new ArrayBufferWriter<byte>(bytes.Length + 64);
        using (var json = new Utf8JsonWriter(row, Relaxed))
        {
            json.WriteStartObject();
            foreach (var (column, cell) in columns.Zip(cells).Where(pair => pair.First.Length > 0))
            {
                json.WriteString(column, cell);
            }

            json.WriteEndObject();
        }

        return JsonDocument.Parse(row.WrittenMemory);
    }

    // With its end of line, also where that stands in quotes; 0 at the end of the file.
    private int RecordLength(ByteFeed feed, int number)
    {
        var (place, length) = (Place.Start, 0);
        do
        {
            for (var window = feed.Window; length < window.Length; length++)
            {
                var value = window[length];
                if (value == '\n' && place != Place.Quoted)
                {
                    return length + 1;
                }

                place = (place, value) switch
                {
                    (Place.Quoted, Quote) => Place.AfterQuote,
                    (Place.Quoted, _) => Place.Quoted,
                    (Place.Start or Place.AfterQuote, Quote) => Place.Quoted,
                    (_, var other) when other == separator => Place.Start,
                    _ => Place.Bare,
                };
            }
        }
        while (feed.Fill());

        return place == Place.Quoted
            ? throw RowError.Of(SourceOf(number), null, "a quote that opens in this record is never closed")
            : length;
    }

    private string[] Header(ReadOnlyMemory<byte> bytes, string source)
    {
        string[] names = [.. Cells(bytes.Span, source).Select(name => name ?? "")];
        if (names.Where(name => name.Length > 0).GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw RowError.Of(source, null, $"expected each column once, found '{twice.Key}' {twice.Count()} times");
        }

        return names is [var only] && only.Contains(';', StringComparison.Ordinal)
            ? throw RowError.Of(source, null, $"expected names separated by {(separator == '\t' ? "tabs" : "commas")}, found '{only}'")
            : names;
    }

    private List<string?> Cells(ReadOnlySpan<byte> bytes, string source)
    {
        CheckUtf8(bytes, source);
        var rest = bytes is [.. var withoutEnd, (byte)'\n'] ? withoutEnd : bytes;
        rest = rest is [.. var withoutReturn, (byte)'\r'] ? withoutReturn : rest;
        var cells = new List<string?>();
        while (true)
        {
            var cell = cells.Count + 1;
            var length = rest is [Quote, ..] ? QuotedLength(rest) : Bare(rest, separator);
            cells.Add(
                length == 0 ? null
                : rest[0] == Quote ? Encoding.UTF8.GetString(rest[1..(length - 1)]).Replace("\"\"", "\"", StringComparison.Ordinal)
                : rest[..length].Contains(Quote)
                ? throw RowError.Of(source, null, $"value {cell} has a quote in it and does not stand in quotes: expected \"…\" around it, and its quotes doubled")
                : Encoding.UTF8.GetString(rest[..length]));
            if (length == rest.Length)
            {
                return cells;
            }

            if (rest[length] != separator)
            {
                throw RowError.Of(source, null, $"value {cell} goes on after its closing quote: expected its inner quotes doubled");
            }

            rest = rest[(length + 1)..];
        }
    }

    private static int Bare(ReadOnlySpan<byte> rest, byte separator) =>
        rest.IndexOf(separator) is >= 0 and var end ? end : rest.Length;

    // Both quotes included.
    private static int QuotedLength(ReadOnlySpan<byte> rest)
    {
        for (var i = 1; i < rest.Length; i++)
        {
            if (rest[i] != Quote)
            {
                continue;
            }

            if (i + 1 == rest.Length || rest[i + 1] != Quote)
            {
                return i + 1;
            }

            i++;
        }

        return rest.Length;
    }
}
