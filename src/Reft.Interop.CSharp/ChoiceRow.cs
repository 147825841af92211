using Reft.Internal;

namespace Reft;

/// <summary>A prompt with several choices of what follows it, and perhaps the right one.</summary>
public sealed record ChoiceRow
{
    /// <summary>What precedes each choice (<c>prompt</c>).</summary>
    public required string Prompt { get; init; }

    /// <summary>
    /// The choices, two or more (<c>choices</c>, an array of texts). By likelihood a choice's text follows the prompt as it stands:
    /// where a space belongs between them, the choice begins with it.
    /// </summary>
    public required IReadOnlyList<string> Choices { get; init; }

    /// <summary>The number of the right choice, from 0 (<c>answer</c>: its number, or its text).</summary>
    public int? Answer { get; init; }

    /// <summary>Where the row comes from, for messages: <c>data.jsonl:12</c>.</summary>
    public string? Source { get; init; }

    /// <summary>
    /// Reads rows from a file of JSON Lines, JSON, CSV, TSV or Parquet: <c>{"prompt": …, "choices": [texts], "answer": number or
    /// text}</c>. A cell of CSV holds the choices as a JSON array. Blank lines and columns that are not known are passed over.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, the names of its columns, and whether its rows stay on the disk; a template is not read.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not such a row: the message names the file, the row and the field.</exception>
    public static IReadOnlyList<ChoiceRow> FromFile(string path, DataOptions? options = null) =>
        RowReader.ReadFile(path, options, ChoiceRowReader.Read);
}
