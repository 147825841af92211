using System.Text;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>JSON Lines → <see cref="DataRow"/>; errors name the file, the line and the field.</summary>
internal static class RowReader
{
    public static Encoding StrictUtf8 { get; } = new UTF8Encoding(false, throwOnInvalidBytes: true);

    public static IReadOnlyList<DataRow> Read(TextReader reader, string name, RowUse use) =>
        Read(reader, name, (root, source) => RowForm.Check(use, RowOf(root, source), source));

    public static IReadOnlyList<DataRow> ReadFile(string path, RowUse use) =>
        ReadFile(path, (root, source) => RowForm.Check(use, RowOf(root, source), source));

    /// <summary>The rows of a file that must be there.</summary>
    public static IReadOnlyList<T> ReadFile<T>(string path, Func<JsonElement, string, T> row)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"there is no file {path}: expected a JSON Lines file", path);
        }

        using var reader = new StreamReader(path, StrictUtf8);
        return Read(reader, path, row);
    }

    private static List<T> Read<T>(TextReader reader, string name, Func<JsonElement, string, T> row)
    {
        var rows = new List<T>();
        for (var number = 1; ; number++)
        {
            var source = $"{name}:{number}";
            try
            {
                if (reader.ReadLine() is not { } line)
                {
                    return rows;
                }

                if (!string.IsNullOrWhiteSpace(line))
                {
                    rows.Add(Parse(line, source, row));
                }
            }
            catch (DecoderFallbackException e)
            {
                throw new InvalidDataException($"{source}: the file is not UTF-8: {e.Message}", e);
            }
        }
    }

    private static T Parse<T>(string line, string source, Func<JsonElement, string, T> row)
    {
        try
        {
            using var document = JsonDocument.Parse(line, new JsonDocumentOptions { AllowDuplicateProperties = false });
            var root = document.RootElement;
            return root.ValueKind == JsonValueKind.Object
                ? row(root, source)
                : throw new InvalidDataException($"{source}: expected a JSON object, found {Kind(root)}");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{source}: not valid JSON: {e.Message}", e);
        }
        catch (InvalidOperationException e)
        {
            // What a string escape such as a lone surrogate gives.
            throw new InvalidDataException($"{source}: not valid JSON: {e.Message}", e);
        }
    }

    private static DataRow RowOf(JsonElement root, string source) =>
        new()
        {
            Prompt = Text(root, "prompt", source),
            Completion = Text(root, "completion", source),
            Text = Text(root, "text", source),
            InputIds = Numbers(root, "input_ids", source),
            Labels = Numbers(root, "labels", source),
            PromptLength = Field(root, "prompt_length") is { } length ? Number(length, "prompt_length", source) : null,
            Subspaces = Numbers(root, "subspaces", source),
            Source = source,
        };

    public static JsonElement? Field(JsonElement row, string name) =>
        row.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    public static string? Text(JsonElement row, string name, string source) =>
        Field(row, name) switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            { } other => throw new InvalidDataException($"{source}: field '{name}': expected a string, found {Kind(other)}"),
        };

    public static int[]? Numbers(JsonElement row, string name, string source)
    {
        if (Field(row, name) is not { } array)
        {
            return null;
        }

        return array.ValueKind == JsonValueKind.Array
            ? [.. array.EnumerateArray().Select((item, i) => Number(item, $"{name}[{i}]", source))]
            : throw new InvalidDataException($"{source}: field '{name}': expected an array of integers, found {Kind(array)}");
    }

    private static int Number(JsonElement value, string name, string source) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number)
            ? number
            : throw new InvalidDataException($"{source}: field '{name}': expected an integer, found {Kind(value)}");

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
