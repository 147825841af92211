using Microsoft.FSharp.Core;

namespace Reft.Internal;

/// <summary>Rows that are labelled as a whole.</summary>
internal sealed partial record RowEncoder
{
    /// <summary>A row's ids and segments, cut to a length, with its target if it has one.</summary>
    /// <exception cref="InvalidDataException">The row has no text and no ids, both, or what the model does not know.</exception>
    public Core.Example EncodeRow(LabelledRow row, int index, int maxLength, Core.RowTarget? target)
    {
        var source = row.Source ?? $"row {index}";
        if (row.Subspaces is { } subspaces)
        {
            RowForm.CheckSubspaces(subspaces, source);
        }

        var (ids, segments) = (row.Text, row.InputIds) switch
        {
            ({ } text, null) => OfTexts(row, text, maxLength, source),
            (null, { } given) => OfGiven(row, given, maxLength, source),
            ({ }, { }) => throw RowForm.Refuse(source, "input_ids", "found beside 'text': expected only one of them in a row"),
            _ => throw RowForm.Refuse(source, "text", "expected a text, or 'input_ids', found neither"),
        };
        return WithSubspaces(
            row.Subspaces,
            Core.ExampleModule.ofRow(segments, target is null ? FSharpOption<Core.RowTarget>.None : FSharpOption<Core.RowTarget>.Some(target), ids));
    }

    private (int[] Ids, int[] Segments) OfTexts(LabelledRow row, string text, int maxLength, string source)
    {
        if (row.TokenTypeIds is not null)
        {
            throw RowForm.Refuse(source, "token_type_ids", "it belongs to rows of 'input_ids', and this row has none");
        }

        int[] ids, segments;
        try
        {
            (ids, segments) = Needed("text", source).EncodeRow(text, row.TextPair.ToOption(), maxLength);
        }
        catch (ArgumentException e)
        {
            throw new ArgumentException($"{source}: {e.Message}", nameof(maxLength), e);
        }

        return (NotEmpty(OfText(ids, "text", source), "text", source), Known(segments, "text_pair", source));
    }

    private (int[] Ids, int[] Segments) OfGiven(LabelledRow row, IReadOnlyList<int> given, int maxLength, string source)
    {
        if (row.TextPair is not null)
        {
            throw RowForm.Refuse(source, "text_pair", "it belongs to rows of 'text', and this row has none");
        }

        var ids = CheckIds(given, "input_ids", source);
        var segments = row.TokenTypeIds ?? [];
        if (segments.Count != 0 && segments.Count != ids.Length)
        {
            throw RowForm.Refuse(source, "token_type_ids", $"expected one for each of {ids.Length} input_ids, found {segments.Count}");
        }

        return (ids[..Math.Min(ids.Length, maxLength)], Known([.. segments.Take(maxLength)], "token_type_ids", source));
    }

    // A model that tells no segments apart, as RoBERTa and decoders, reads none.
    private int[] Known(int[] segments, string field, string source) =>
        SegmentTypes < 2 || Array.TrueForAll(segments, segment => segment == 0) ? []
        : Array.FindIndex(segments, segment => segment < 0 || segment >= SegmentTypes) is >= 0 and var i
            ? throw RowForm.Refuse(source, field, $"token {i} is of segment {segments[i]}, and the model knows the segments 0 … {SegmentTypes - 1}")
            : segments;
}
