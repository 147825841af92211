using System.Text.Json;

namespace Reft.Internal;

/// <summary>A row of a file → <see cref="PreferenceRow"/>.</summary>
internal static class PreferenceRowReader
{
    public static PreferenceRow Parse(RawRow raw)
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
                Source = raw.Source,
            },
            raw.Source);

        string? Text(string field) => IsArray(field) ? null : raw.Text(field);

        int[]? Ids(string field) => IsArray(field) ? raw.Numbers(field) : null;

        bool IsArray(string field) => raw.Field(field) is { ValueKind: JsonValueKind.Array };
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
