using Reft.Internal;

namespace Reft;

/// <summary>A prompt with two completions, one of which is preferred: as text or as token ids.</summary>
public sealed record PreferenceRow
{
    /// <summary>What precedes both completions (<c>prompt</c>, a text).</summary>
    public string? Prompt { get; init; }

    /// <summary>The completion that is preferred (<c>chosen</c>, a text).</summary>
    public string? Chosen { get; init; }

    /// <summary>The other completion (<c>rejected</c>, a text).</summary>
    public string? Rejected { get; init; }

    /// <summary>The prompt as token ids (<c>prompt</c>, an array).</summary>
    public IReadOnlyList<int>? PromptIds { get; init; }

    /// <summary>The preferred completion as token ids (<c>chosen</c>, an array); no end is added to them.</summary>
    public IReadOnlyList<int>? ChosenIds { get; init; }

    /// <summary>The other completion as token ids (<c>rejected</c>, an array); no end is added to them.</summary>
    public IReadOnlyList<int>? RejectedIds { get; init; }

    /// <summary>Where the row comes from, for messages: <c>data.jsonl:12</c>.</summary>
    public string? Source { get; init; }

    /// <summary>
    /// Reads rows <c>{"prompt": …, "chosen": …, "rejected": …}</c> from a JSON Lines file, each a text or an array of token ids.
    /// Blank lines and unknown fields are passed over.
    /// </summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static IReadOnlyList<PreferenceRow> FromJsonLines(string path) =>
        FromFile(path, new DataOptions { Format = DataFormat.JsonLines });

    /// <summary>Reads such rows from a file of JSON Lines, JSON, CSV, TSV or Parquet. A template has no place in them.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, and the names of its columns.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not such a row: the message names the file, the row and the field.</exception>
    /// <exception cref="ArgumentException">The options have a template.</exception>
    public static IReadOnlyList<PreferenceRow> FromFile(string path, DataOptions? options = null) =>
        options?.Template is null
            ? RowReader.ReadFile(path, options, PreferenceRowReader.Parse)
            : throw new ArgumentException("rows with 'chosen' and 'rejected' have no template: leave it out", nameof(options));
}

/// <summary>Rows with a preferred and another completion; they are tokenised by the model that trains on them.</summary>
public sealed class PreferenceData
{
    private PreferenceData(IReadOnlyList<PreferenceRow> rows) => Rows = rows;

    /// <summary>The rows.</summary>
    public IReadOnlyList<PreferenceRow> Rows { get; }

    /// <summary>The number of rows.</summary>
    public int Count => Rows.Count;

    /// <summary>Reads a JSON Lines file; see <see cref="PreferenceRow.FromJsonLines"/>.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static PreferenceData FromJsonLines(string path) => new(PreferenceRow.FromJsonLines(path));

    /// <summary>Reads a file of JSON Lines, JSON, CSV, TSV or Parquet; see <see cref="PreferenceRow.FromFile"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, and the names of its columns.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not such a row: the message names the file, the row and the field.</exception>
    /// <exception cref="ArgumentException">The options have a template.</exception>
    public static PreferenceData FromFile(string path, DataOptions? options = null) => new(PreferenceRow.FromFile(path, options));

    /// <summary>These rows.</summary>
    public static PreferenceData FromRows(IEnumerable<PreferenceRow> rows) => new([.. rows]);

    /// <summary>Prompts, each with the completion that is preferred and another one.</summary>
    public static PreferenceData FromTexts(IEnumerable<(string Prompt, string Chosen, string Rejected)> rows) =>
        FromRows(rows.Select(row => new PreferenceRow { Prompt = row.Prompt, Chosen = row.Chosen, Rejected = row.Rejected }));
}
