using System.Text.Json;

namespace Reft.Internal;

/// <summary>A line of JSON → <see cref="PreferenceRow"/>.</summary>
internal static class PreferenceRowReader
{
    public static PreferenceRow Parse(JsonElement root, string source)
    {
        return Check(
            new PreferenceRow
            {
                Prompt = Text("prompt"),
                Chosen = Text("chosen"),
                Rejected = Text("rejected"),
                PromptIds = Ids("prompt"),
                ChosenIds = Ids("chosen"),
                RejectedIds = Ids("rejected"),
                Source = source,
            },
            source);

        string? Text(string field) => IsArray(field) ? null : RowReader.Text(root, field, source);

        int[]? Ids(string field) => IsArray(field) ? RowReader.Numbers(root, field, source) : null;

        bool IsArray(string field) => RowReader.Field(root, field) is { ValueKind: JsonValueKind.Array };
    }

    /// <summary>The row itself, or an error that names the field.</summary>
    public static PreferenceRow Check(PreferenceRow row, string source)
    {
        One("prompt", row.Prompt, row.PromptIds);
        One("chosen", row.Chosen, row.ChosenIds);
        One("rejected", row.Rejected, row.RejectedIds);
        return row;

        void One(string field, string? text, IReadOnlyList<int>? ids)
        {
            if (text is null == ids is null)
            {
                throw RowForm.Refuse(
                    source, field, $"expected a text or token ids, found {(text is null ? "neither: a preference has 'prompt', 'chosen' and 'rejected'" : "both")}");
            }
        }
    }
}
