using System.Globalization;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>A row as it stands in a file, whatever its format, with the names of its fields mapped to its columns.</summary>
/// <param name="root">Its columns, as a JSON object; valid while it is read.</param>
/// <param name="source">Where it comes from, for messages.</param>
/// <param name="fields">Which column stands for which field.</param>
/// <param name="isText">Whether its values are texts, as cells of CSV are, of which numbers are to be read.</param>
/// <param name="columns">All columns of the file where the row has only those that are used.</param>
internal readonly struct RawRow(
    JsonElement root, string source, DataFields fields, bool isText = false, IReadOnlyList<string>? columns = null)
{
    /// <summary>Where it comes from.</summary>
    public string Source => source;

    /// <summary>The column of a field, for messages.</summary>
    public string NameOf(string field) => fields.ColumnOf(field) ?? field;

    /// <summary>The value of a field; null where it is absent, null, or an empty cell.</summary>
    public JsonElement? Field(string name)
    {
        if (fields.ColumnOf(name) is not { } column)
        {
            return null;
        }

        if (root.TryGetProperty(column, out var value))
        {
            return value.ValueKind == JsonValueKind.Null ? null : value;
        }

        return fields.IsNamed(name) ? throw NoColumn(column, $"the column of '{name}'") : null;
    }

    /// <summary>A column that must be there, as text; nothing where it is null.</summary>
    public string ColumnText(string column)
    {
        if (!root.TryGetProperty(column, out var value))
        {
            throw NoColumn(column, "which the template names");
        }

        return value.ValueKind switch
        {
            JsonValueKind.Null => "",
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.Array or JsonValueKind.Object => throw RowForm.Refuse(
                source, column, $"expected a text, a number or a truth value for the template, found {RowReader.Kind(value)}"),
            _ => value.GetRawText(),
        };
    }

    public string? Text(string name) =>
        Field(name) switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            { } other => throw RowForm.Refuse(source, NameOf(name), $"expected a string, found {RowReader.Kind(other)}"),
        };

    public int[]? Numbers(string name)
    {
        if (Field(name) is not { } value)
        {
            return null;
        }

        var column = NameOf(name);
        if (isText)
        {
            return NumbersOf(value.GetString()!, column);
        }

        var place = source;
        return value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Select((item, i) => RowReader.Number(item, $"{column}[{i}]", place))]
            : throw RowForm.Refuse(source, column, $"expected an array of integers, found {RowReader.Kind(value)}");
    }

    public int? Number(string name)
    {
        var column = NameOf(name);
        return Field(name) is not { } value ? null
            : isText ? NumberOf(value.GetString()!, column)
            : RowReader.Number(value, column, source);
    }

    /// <summary>
    /// A value that is a text, a number or an array of them: a cell of CSV that is written as a number, or as an array in JSON, is one.
    /// </summary>
    public JsonElement? Label(string name) =>
        Field(name) is not { } value ? null : isText ? Written(value.GetString()!) ?? value : value;

    /// <summary>A value that is a JSON array or object, written out as text in a cell of CSV; it outlives the row.</summary>
    public JsonElement? Structure(string name) =>
        Field(name) is not { } value ? null
        : value.ValueKind != JsonValueKind.String ? value.Clone()
        : Written(value.GetString()!) ?? throw RowForm.Refuse(source, NameOf(name), "expected a JSON array, found a text that is none");

    private static JsonElement? Written(string text)
    {
        if (text is [] || !(text[0] is '[' or '{' or '-' || char.IsAsciiDigit(text[0])))
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(text);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private int[] NumbersOf(string text, string column)
    {
        var trimmed = text.Trim();
        var inner = trimmed.StartsWith('[') && trimmed.EndsWith(']') ? trimmed[1..^1] : trimmed;
        var parts = inner.Split([' ', ',', '\t', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
        var numbers = new int[parts.Length];
        for (var i = 0; i < parts.Length; i++)
        {
            numbers[i] = NumberOf(parts[i], $"{column}[{i}]");
        }

        return numbers;
    }

    private int NumberOf(string text, string column) =>
        int.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw RowForm.Refuse(source, column, $"expected an integer, found '{Shown(text)}'");

    private InvalidDataException NoColumn(string column, string role)
    {
        var found = columns ?? [.. root.EnumerateObject().Select(property => property.Name)];
        return RowError.Of(source, column, $"there is no such column, {role}: found {(found.Count == 0 ? "none" : string.Join(", ", found.Take(30)))}");
    }

    private static string Shown(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
