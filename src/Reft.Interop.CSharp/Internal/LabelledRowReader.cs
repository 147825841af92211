using System.Globalization;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>A line of JSON → <see cref="LabelledRow"/>.</summary>
internal static class LabelledRowReader
{
    public static LabelledRow Parse(JsonElement root, string source)
    {
        var row = new LabelledRow
        {
            Text = RowReader.Text(root, "text", source),
            TextPair = RowReader.Text(root, "text_pair", source),
            InputIds = RowReader.Numbers(root, "input_ids", source),
            TokenTypeIds = RowReader.Numbers(root, "token_type_ids", source),
            Subspaces = RowReader.Numbers(root, "subspaces", source),
            Source = source,
        };
        row = RowReader.Field(root, "label") is { } label ? Labelled(row, label, "label", source) : row;
        if (RowReader.Field(root, "labels") is not { } labels)
        {
            return row;
        }

        return row is not { Label: null, Labels: null, Value: null } ? throw RowForm.Refuse(source, "labels", "found beside 'label': expected only one of them in a row")
            : labels.ValueKind == JsonValueKind.Array ? Labelled(row, labels, "labels", source)
            : throw RowForm.Refuse(source, "labels", $"expected an array of labels, found {RowReader.Kind(labels)}");
    }

    // Whether a number is a label or a value is the task's to say: both are kept.
    private static LabelledRow Labelled(LabelledRow row, JsonElement label, string field, string source) =>
        label.ValueKind switch
        {
            JsonValueKind.String => row with { Label = label.GetString() },
            JsonValueKind.Number => row with { Label = Whole(label), Value = Real(label, field, source) },
            JsonValueKind.True => row with { Label = "true" },
            JsonValueKind.False => row with { Label = "false" },
            JsonValueKind.Array => row with { Labels = [.. label.EnumerateArray().Select((item, i) => Name(item, $"{field}[{i}]", source))] },
            _ => throw RowForm.Refuse(source, field, $"expected a label, a number or an array of labels, found {RowReader.Kind(label)}"),
        };

    private static string? Whole(JsonElement label) =>
        label.TryGetInt32(out var number) ? number.ToString(CultureInfo.InvariantCulture) : null;

    private static double Real(JsonElement label, string field, string source) =>
        label.TryGetDouble(out var value) && double.IsFinite(value)
            ? value
            : throw RowForm.Refuse(source, field, $"expected a finite number, found {label.GetRawText()}");

    private static string Name(JsonElement item, string field, string source) =>
        item.ValueKind == JsonValueKind.String ? item.GetString()!
        : item.ValueKind == JsonValueKind.Number && Whole(item) is { } number ? number
        : throw RowForm.Refuse(source, field, $"expected the name or the number of a label, found {RowReader.Kind(item)}");
}
