using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Reft.Internal;

/// <summary>A file of rows in one of the formats: how its rows are found, and what a row's bytes say.</summary>
/// <param name="path">The file.</param>
/// <param name="options">How it is read.</param>
internal abstract class RecordFile(string path, DataOptions options)
{
    /// <summary>A row that is longer was not meant as one.</summary>
    public const int MaximumRowBytes = 64 << 20;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>The file.</summary>
    public string Path => path;

    /// <summary>How it is read.</summary>
    public DataOptions Options => options;

    /// <summary>Whether a row can be read again from where it begins.</summary>
    public virtual bool HasOffsets => true;

    /// <summary>All its columns, where a row does not show them.</summary>
    protected virtual IReadOnlyList<string>? Columns => null;

    /// <summary>Whether its values are texts, of which numbers are to be read.</summary>
    protected virtual bool IsText => false;

    /// <summary>The file in the format that the options or its name say.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    public static RecordFile Open(string path, DataOptions options)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"there is no file {path}: expected {Expected(options.Format)}", path);
        }

        return (options.Format ?? FormatOf(path)) switch
        {
            DataFormat.Json => new JsonArrayFile(path, options),
            DataFormat.Csv => new CsvFile(path, (byte)',', options),
            DataFormat.Tsv => new CsvFile(path, (byte)'\t', options),
            DataFormat.Parquet => new ParquetFile(path, options),
            _ => new JsonLinesFile(path, options),
        };
    }

    /// <summary>All rows, from the first to the last.</summary>
    /// <exception cref="InvalidDataException">The file's structure is broken, so that no further row can be found.</exception>
    public abstract IEnumerable<Record> Scan();

    /// <summary>Where a row is, for messages.</summary>
    public virtual string SourceOf(int number) => $"{path}:{number}";

    /// <summary>What a row says.</summary>
    /// <exception cref="InvalidDataException">It is not a row, or not one of the kind that is read.</exception>
    public T Read<T>(int number, ReadOnlyMemory<byte> bytes, Func<RawRow, T> row)
    {
        var source = SourceOf(number);
        try
        {
            using var document = Parse(bytes, source);
            var root = document.RootElement;
            return root.ValueKind == JsonValueKind.Object
                ? row(new RawRow(root, source, options.Fields, IsText, Columns))
                : throw RowError.Of(source, null, $"expected a JSON object, found {RowReader.Kind(root)}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The second is what a string escape such as a lone surrogate gives.
            throw RowError.Of(source, null, $"not valid JSON: {e.Message}", e);
        }
    }

    /// <summary>The columns of a row as a JSON object.</summary>
    protected virtual JsonDocument Parse(ReadOnlyMemory<byte> bytes, string source)
    {
        CheckUtf8(bytes.Span, source);
        return JsonDocument.Parse(bytes, Strict);
    }

    /// <summary>The file's bytes after a byte-order mark; its position is what follows it.</summary>
    protected ByteFeed Feed()
    {
        var stream = new FileStream(
            path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, FileOptions.SequentialScan);
        var feed = new ByteFeed(stream, path);
        try
        {
            feed.Fill();
            if (feed.Window.StartsWith(Encoding.UTF8.Preamble))
            {
                feed.Advance(Encoding.UTF8.Preamble.Length);
            }
            else if (feed.Window.StartsWith(Encoding.Unicode.Preamble) || feed.Window.StartsWith(Encoding.BigEndianUnicode.Preamble))
            {
                throw RowError.Of(path, null, "the file is UTF-16: save it as UTF-8");
            }

            return feed;
        }
        catch
        {
            feed.Dispose();
            throw;
        }
    }

    protected static void CheckUtf8(ReadOnlySpan<byte> bytes, string source)
    {
        if (!Utf8.IsValid(bytes))
        {
            throw RowError.Of(source, null, "the file is not UTF-8");
        }
    }

    private static string Expected(DataFormat? format) =>
        format switch
        {
            DataFormat.JsonLines => "a JSON Lines file",
            DataFormat.Json => "a JSON file",
            DataFormat.Csv => "a CSV file",
            DataFormat.Tsv => "a file of tab-separated values",
            DataFormat.Parquet => "a Parquet file",
            _ => "a file of rows (.jsonl, .json, .csv, .tsv or .parquet)",
        };

    private static DataFormat FormatOf(string path) =>
        System.IO.Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".json" when BeginsWithArray(path) => DataFormat.Json,
            ".csv" => DataFormat.Csv,
            ".tsv" => DataFormat.Tsv,
            ".parquet" => DataFormat.Parquet,
            _ => DataFormat.JsonLines,
        };

    // Many datasets call JSON Lines .json.
    private static bool BeginsWithArray(string path)
    {
        Span<byte> bytes = stackalloc byte[4096];
        using var stream = File.OpenRead(path);
        var begin = bytes[..stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
        var text = (begin.StartsWith(Encoding.UTF8.Preamble) ? begin[Encoding.UTF8.Preamble.Length..] : begin).TrimStart(" \t\r\n"u8);
        return text is not [(byte)'{', ..];
    }
}
