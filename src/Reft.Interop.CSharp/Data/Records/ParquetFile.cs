using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Parquet;
using Parquet.Schema;

namespace Reft.Internal;

/// <summary>Apache Parquet: one row group is held at a time, and of it the columns that rows can use.</summary>
internal sealed class ParquetFile(string path, DataOptions options) : RecordFile(path, options)
{
    /// <summary>More in one row group was not meant to be read at once.</summary>
    private const long MaximumGroupBytes = 2L << 30;

    private const long MaximumGroupValues = 1L << 26;

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private string[]? _columns;

    public override bool HasOffsets => false;

    protected override IReadOnlyList<string>? Columns => _columns;

    public override string SourceOf(int number) => $"{Path}: row {number}";

    public override IEnumerable<Record> Scan()
    {
        using var stream = new FileStream(Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var reader = Guarded(() => ParquetReader.CreateAsync(stream).GetAwaiter().GetResult());
        try
        {
            var fields = Guarded(() => reader.Schema.Fields);
            _columns = [.. fields.Select(field => field.Name)];
            Field[] used = [.. fields.Where(field => IsUsed(field.Name))];
            var row = new ArrayBufferWriter<byte>();
            var number = 1;
            for (var group = 0; group < reader.RowGroupCount; group++)
            {
                var columns = Guarded(() => ReadGroup(reader, group, stream.Length, used, out var rows) is var read ? (read, rows) : default);
                for (var i = 0; i < columns.rows; i++, number++)
                {
                    Write(row, columns.read, i);
                    yield return new Record(0, number, row.WrittenMemory);
                }
            }
        }
        finally
        {
            reader.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private bool IsUsed(string column) => Options.Fields.Uses(column) || Options.Template?.Uses(column) == true || Options.AlsoRead.Contains(column, StringComparer.Ordinal);

    private static void Write(ArrayBufferWriter<byte> row, ParquetColumn[] columns, int index)
    {
        row.ResetWrittenCount();
        using var json = new Utf8JsonWriter(row, Relaxed);
        json.WriteStartObject();
        foreach (var column in columns)
        {
            json.WritePropertyName(column.Name);
            column.Write(json, index);
        }

        json.WriteEndObject();
    }

    private ParquetColumn[] ReadGroup(ParquetReader reader, int group, long fileLength, Field[] used, out int rows)
    {
        var groupReader = reader.OpenRowGroupReader(group);
        CheckClaims(groupReader, group, fileLength, used);
        var count = rows = (int)groupReader.RowCount;
        return [.. used.Select(field => ParquetColumn.Read(Path, groupReader, field, count))];
    }

    // What the file says of itself, before anything is made of that size.
    private void CheckClaims(ParquetRowGroupReader group, int number, long fileLength, Field[] used)
    {
        var bytes = 0L;
        foreach (var field in used.SelectMany(ParquetColumn.Leaves))
        {
            var chunk = group.GetMetadata(field)?.MetaData ?? throw Damaged(number, $"the column '{field.Path}' is missing");
            if (chunk.TotalCompressedSize < 0 || chunk.TotalCompressedSize > fileLength || chunk.TotalUncompressedSize < 0)
            {
                throw Damaged(number, $"the column '{field.Path}' claims {chunk.TotalCompressedSize} bytes in a file of {fileLength}");
            }

            if (chunk.NumValues is < 0 or > MaximumGroupValues)
            {
                throw Damaged(number, $"the column '{field.Path}' claims {chunk.NumValues} values: expected at most {MaximumGroupValues}");
            }

            if (field.MaxRepetitionLevel == 0 && chunk.NumValues != group.RowCount)
            {
                throw Damaged(number, $"it claims {group.RowCount} rows, and {chunk.NumValues} values of the column '{field.Path}'");
            }

            bytes += chunk.TotalUncompressedSize;
        }

        if (group.RowCount is < 0 or > MaximumGroupValues)
        {
            throw Damaged(number, $"it claims {group.RowCount} rows: expected at most {MaximumGroupValues}");
        }

        if (bytes > MaximumGroupBytes)
        {
            throw Damaged(number, $"its columns unpack to {bytes} bytes: expected at most {MaximumGroupBytes}; write the file with smaller row groups");
        }
    }

    private InvalidDataException Damaged(int group, string problem) => RowError.Of($"{Path}: row group {group}", null, problem);

    // The library says in many ways that a file is damaged.
    private T Guarded<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (!RowError.IsOne(e) && e is not (OperationCanceledException or UnauthorizedAccessException or FileNotFoundException))
        {
            throw RowError.Of(Path, null, $"not a readable Parquet file: {e.Message}", e);
        }
    }
}
