using System.Text.Json;

namespace Reft.Internal;

/// <summary>Rows of multiple choice.</summary>
internal static class ChoiceRowReader
{
    /// <summary>A row of a file.</summary>
    public static ChoiceRow Read(RawRow raw)
    {
        var source = raw.Source;
        var prompt = raw.Text("prompt") ?? throw RowForm.Refuse(source, raw.NameOf("prompt"), "expected a text, found none");
        var column = raw.NameOf("choices");
        var choices = raw.Structure("choices") is not { } found ? throw RowForm.Refuse(source, column, "expected an array of texts, found none")
            : found.ValueKind == JsonValueKind.Array ? (string[])[.. found.EnumerateArray().Select((item, i) => Text(item, $"{column}[{i}]", source))]
            : throw RowForm.Refuse(source, column, $"expected an array of texts, found {RowReader.Kind(found)}");
        return Check(
            new ChoiceRow
            {
                Prompt = prompt,
                Choices = choices,
                Answer = raw.Label("answer") is { } answer ? Number(answer, choices, raw.NameOf("answer"), source) : null,
                Source = source,
            },
            source);
    }

    /// <summary>The row itself, or an error that names the field.</summary>
    public static ChoiceRow Check(ChoiceRow row, string source)
    {
        if (row.Choices.Count < 2)
        {
            throw RowForm.Refuse(source, "choices", $"expected two choices or more, found {row.Choices.Count}");
        }

        for (var i = 0; i < row.Choices.Count; i++)
        {
            if (row.Choices[i].Length == 0)
            {
                throw RowForm.Refuse(source, $"choices[{i}]", "it is empty: expected a text");
            }
        }

        return row.Answer is null or >= 0 && (row.Answer ?? 0) < row.Choices.Count
            ? row
            : throw RowForm.Refuse(source, "answer", $"expected a number of 0 … {row.Choices.Count - 1}, found {row.Answer}");
    }

    private static string Text(JsonElement item, string field, string source) =>
        item.ValueKind == JsonValueKind.String
            ? item.GetString()!
            : throw RowForm.Refuse(source, field, $"expected a text, found {RowReader.Kind(item)}");

    private static int Number(JsonElement answer, string[] choices, string field, string source)
    {
        if (answer.ValueKind == JsonValueKind.Number)
        {
            return RowReader.Number(answer, field, source);
        }

        if (answer.ValueKind != JsonValueKind.String)
        {
            throw RowForm.Refuse(source, field, $"expected the number or the text of a choice, found {RowReader.Kind(answer)}");
        }

        var text = answer.GetString()!;
        var place = Array.IndexOf(choices, text);
        place = place >= 0 ? place : Array.FindIndex(choices, choice => choice.Trim() == text.Trim());
        return place >= 0
            ? place
            : throw RowForm.Refuse(source, field, $"expected one of the choices, or its number, found '{text}'");
    }
}
