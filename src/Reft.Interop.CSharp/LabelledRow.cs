using Reft.Internal;

namespace Reft;

/// <summary>
/// A text, or two, with what the whole is labelled with. The label may be missing where it is to be predicted.
/// </summary>
public sealed record LabelledRow
{
    /// <summary>The text (<c>text</c>).</summary>
    public string? Text { get; init; }

    /// <summary>A second text, which stands after the first (<c>text_pair</c>).</summary>
    public string? TextPair { get; init; }

    /// <summary>Token ids in place of text, special tokens included (<c>input_ids</c>).</summary>
    public IReadOnlyList<int>? InputIds { get; init; }

    /// <summary>The segment of each of the ids, for encoders that tell several apart (<c>token_type_ids</c>).</summary>
    public IReadOnlyList<int>? TokenTypeIds { get; init; }

    /// <summary>Its label, by name or by number (<c>label</c>).</summary>
    public string? Label { get; init; }

    /// <summary>Its labels, where several may hold, by name or by number (<c>label</c> or <c>labels</c>, an array).</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>Its number, for a regression (<c>label</c>, a number).</summary>
    public double? Value { get; init; }

    /// <summary>
    /// The numbers of the subspaces that act on this row (<c>subspaces</c>), for interventions that have several; all where
    /// it is not given.
    /// </summary>
    public IReadOnlyList<int>? Subspaces { get; init; }

    /// <summary>Where the row comes from, for messages: <c>data.jsonl:12</c>.</summary>
    public string? Source { get; init; }

    /// <summary>
    /// Reads rows from a JSON Lines file: <c>{"text": …, "label": …}</c>, with <c>text_pair</c> for a second text, or
    /// <c>input_ids</c> in place of text. Blank lines and unknown fields are passed over.
    /// </summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static IReadOnlyList<LabelledRow> FromJsonLines(string path) => FromFile(path, new DataOptions { Format = DataFormat.JsonLines });

    /// <summary>
    /// Reads rows from a file of JSON Lines, JSON, CSV, TSV or Parquet, with the fields of <see cref="FromJsonLines"/> or a text
    /// by a template. A cell of CSV that is written as a number is a number, and one that is a JSON array is several labels.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, the names of its columns, a template, and whether its rows stay on the disk.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not such a row: the message names the file, the row and the field.</exception>
    public static IReadOnlyList<LabelledRow> FromFile(string path, DataOptions? options = null) =>
        RowReader.ReadFile(path, options, raw => RowShape.Labelled(raw, options?.Template));
}
