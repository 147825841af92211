namespace Reft.Internal;

/// <summary>Rows with a preferred and another completion.</summary>
internal sealed partial record RowEncoder
{
    /// <summary>The pair that a row is, cut to a length; its prompt is what precedes the completions.</summary>
    /// <exception cref="InvalidDataException">A field is missing, or has what the model does not know.</exception>
    public Core.Example EncodePair(PreferenceRow row, int index, int maxLength)
    {
        var source = row.Source ?? $"row {index}";
        PreferenceRowReader.Check(row, source);
        var prompt = row.Prompt is { } text
            ? EncodePrompt(text, "prompt", source)
            : CheckIds(row.PromptIds!, "prompt", source);
        var chosen = Core.ExampleModule.ofCompletion(prompt, Completion(row.Chosen, row.ChosenIds, "chosen", source));
        var rejected = Core.ExampleModule.ofCompletion(prompt, Completion(row.Rejected, row.RejectedIds, "rejected", source));
        return Core.ExampleModule.truncate(maxLength, Core.ExampleModule.preferredTo(rejected, chosen));
    }

    private int[] Completion(string? text, IReadOnlyList<int>? ids, string field, string source)
    {
        if (text is null)
        {
            return CheckIds(ids!, field, source);
        }

        var completion = OfText(Needed(field, source).EncodeCompletion(text), field, source);
        return EosId is { } eos ? [.. completion, KnownEos(eos, source)] : NotEmpty(completion, field, source);
    }
}
