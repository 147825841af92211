using System.Text;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>JSON Lines → <see cref="DataRow"/>; errors name the file, the line and the field.</summary>
internal static class RowReader
{
    public static Encoding StrictUtf8 { get; } = new UTF8Encoding(false, throwOnInvalidBytes: true);

    public static IReadOnlyList<DataRow> Read(TextReader reader, string name, RowUse use)
    {
        var rows = new List<DataRow>();
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
                    rows.Add(RowForm.Check(use, Parse(line, source), source));
                }
            }
            catch (DecoderFallbackException e)
            {
                throw new InvalidDataException($"{source}: the file is not UTF-8: {e.Message}", e);
            }
        }
    }

    private static DataRow Parse(string line, string source)
    {
        try
        {
            using var document = JsonDocument.Parse(line, new JsonDocumentOptions { AllowDuplicateProperties = false });
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException($"{source}: expected a JSON object, found {Kind(root)}");
            }

            return new DataRow
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

    private static JsonElement? Field(JsonElement row, string name) =>
        row.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string? Text(JsonElement row, string name, string source) =>
        Field(row, name) switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            { } other => throw new InvalidDataException($"{source}: field '{name}': expected a string, found {Kind(other)}"),
        };

    private static int[]? Numbers(JsonElement row, string name, string source)
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

    private static string Kind(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "an array",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => $"the number {value.GetRawText()}",
            _ => value.GetRawText(),
        };
}
