using System.Text;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>Files of rows → rows; errors name the file, the row and the field.</summary>
internal static class RowReader
{
    public static Encoding StrictUtf8 { get; } = new UTF8Encoding(false, throwOnInvalidBytes: true);

    /// <summary>The rows of a file, in memory or, where the options say so, on the disk.</summary>
    public static IReadOnlyList<T> ReadFile<T>(string path, DataOptions? options, Func<RawRow, T> row)
    {
        ArgumentNullException.ThrowIfNull(path);
        options ??= new DataOptions();
        var file = RecordFile.Open(path, options);
        return options.Stream
            ? StreamedRows<T>.Index(file, row)
            : [.. file.Scan().Select(record => file.Read(record.Number, record.Bytes, row))];
    }

    /// <summary>The rows of lines of JSON.</summary>
    public static IReadOnlyList<T> ReadLines<T>(TextReader reader, string name, Func<RawRow, T> row)
    {
        var file = new JsonLinesFile(name, new DataOptions());
        var rows = new List<T>();
        for (var number = 1; reader.ReadLine() is { } line; number++)
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                rows.Add(file.Read(number, Encoding.UTF8.GetBytes(line), row));
            }
        }

        return rows;
    }

    public static int Number(JsonElement value, string name, string source) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number)
            ? number
            : throw RowForm.Refuse(source, name, $"expected an integer, found {Kind(value)}");

    public static string Kind(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "an array",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => $"the number {value.GetRawText()}",
            _ => value.GetRawText(),
        };
}
