using System.Globalization;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>A row of a file → a <see cref="DataRow"/> or a <see cref="LabelledRow"/>.</summary>
internal static class RowShape
{
    /// <summary>A row for a use.</summary>
    public static DataRow Row(RawRow raw, RowTemplate? template, RowUse use)
    {
        var row = template is not null ? template.Row(raw, use) : new DataRow
        {
            Prompt = raw.Text("prompt"),
            Completion = raw.Text("completion"),
            Text = raw.Text("text"),
            InputIds = raw.Numbers("input_ids"),
            Labels = raw.Numbers("labels"),
            PromptLength = raw.Number("prompt_length"),
            Subspaces = raw.Numbers("subspaces"),
            Source = raw.Source,
        };

        // Beside another form it is a column like any other that is not known.
        return RowForm.Check(
            use,
            row is { Prompt: null, Text: null, InputIds: null, Messages: null }
                ? row with { Messages = raw.Structure("messages"), Tools = raw.Structure("tools") }
                : row,
            raw.Source);
    }

    /// <summary>A row that is labelled as a whole, or is to be.</summary>
    public static LabelledRow Labelled(RawRow raw, RowTemplate? template)
    {
        var row = new LabelledRow
        {
            Text = template is null ? raw.Text("text") : template.LabelledText(raw),
            TextPair = raw.Text("text_pair"),
            InputIds = template is null ? raw.Numbers("input_ids") : null,
            TokenTypeIds = template is null ? raw.Numbers("token_type_ids") : null,
            Subspaces = raw.Numbers("subspaces"),
            Source = raw.Source,
        };
        row = raw.Label("label") is { } label ? Labelled(row, label, raw.NameOf("label")) : row;
        if (raw.Label("labels") is not { } labels)
        {
            return row;
        }

        return row is not { Label: null, Labels: null, Value: null } ? throw RowForm.Refuse(raw.Source, raw.NameOf("labels"), "found beside 'label': expected only one of them in a row")
            : labels.ValueKind == JsonValueKind.Array ? Labelled(row, labels, raw.NameOf("labels"))
            : throw RowForm.Refuse(raw.Source, raw.NameOf("labels"), $"expected an array of labels, found {RowReader.Kind(labels)}");
    }

    // Whether a number is a label or a value is the task's to say: both are kept.
    private static LabelledRow Labelled(LabelledRow row, JsonElement label, string field) =>
        label.ValueKind switch
        {
            JsonValueKind.String => row with { Label = label.GetString() },
            JsonValueKind.Number => row with { Label = Whole(label), Value = Real(label, field, row.Source!) },
            JsonValueKind.True => row with { Label = "true" },
            JsonValueKind.False => row with { Label = "false" },
            JsonValueKind.Array => row with { Labels = [.. label.EnumerateArray().Select((item, i) => Name(item, $"{field}[{i}]", row.Source!))] },
            _ => throw RowForm.Refuse(row.Source!, field, $"expected a label, a number or an array of labels, found {RowReader.Kind(label)}"),
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
