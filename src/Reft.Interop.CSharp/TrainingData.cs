using Reft.Internal;

namespace Reft;

/// <summary>Rows to train on or to evaluate; they are tokenised by the model that trains on them.</summary>
public sealed class TrainingData
{
    private TrainingData(IReadOnlyList<DataRow> rows, IReadOnlyList<CollectedActivations>? sources = null)
    {
        Rows = rows;
        Sources = sources ?? [];
    }

    /// <summary>The rows.</summary>
    public IReadOnlyList<DataRow> Rows { get; }

    /// <summary>Activations of other runs, which attached interchanges read: row i of each stands for row i.</summary>
    public IReadOnlyList<CollectedActivations> Sources { get; }

    /// <summary>The number of rows.</summary>
    public int Count => Rows.Count;

    /// <summary>
    /// Reads a JSON Lines file of rows <c>{"prompt": …, "completion": …}</c> or <c>{"input_ids": […], "labels": […]}</c>
    /// (with <c>prompt_length</c> if the prompt is not what precedes the first label).
    /// </summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static TrainingData FromJsonLines(string path) => new(DataRow.FromJsonLines(path, RowUse.Train));

    /// <summary>
    /// Reads a file of JSON Lines, JSON, CSV, TSV or Parquet, with the fields of <see cref="FromJsonLines"/>, <c>messages</c>, or
    /// texts by a template.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, the names of its columns, a template, and whether its rows stay on the disk.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names the file, the row and the field.</exception>
    public static TrainingData FromFile(string path, DataOptions? options = null) =>
        new(DataRow.FromFile(path, RowUse.Train, options));

    /// <summary>
    /// The same for data that are larger than memory: rows stay on the disk, are checked once and read again, in any order,
    /// when they are needed; see <see cref="DataOptions.Stream"/>.
    /// </summary>
    /// <inheritdoc cref="FromFile"/>
    public static TrainingData Stream(string path, DataOptions? options = null) =>
        FromFile(path, (options ?? new DataOptions()) with { Stream = true });

    /// <summary>Conversations, rendered by the chat template of the model that trains on them; the last message is learnt.</summary>
    public static TrainingData FromConversations(IEnumerable<IEnumerable<ChatMessage>> conversations) =>
        FromRows(conversations.Select(DataRow.FromMessages));

    /// <summary>These rows.</summary>
    public static TrainingData FromRows(IEnumerable<DataRow> rows) => new([.. rows]);

    /// <summary>Prompts and what is to follow them, as text.</summary>
    public static TrainingData FromPairs(IEnumerable<(string Prompt, string Completion)> pairs) =>
        FromRows(pairs.Select(pair => new DataRow { Prompt = pair.Prompt, Completion = pair.Completion }));

    /// <summary>Rows of token ids, for models without a tokenizer.</summary>
    public static TrainingData FromExamples(IEnumerable<TrainingExample> examples) =>
        FromRows(examples.Select(example => new DataRow
        {
            InputIds = example.TokenIds,
            Labels = example.Labels,
            PromptLength = example.PromptLength,
        }));

    /// <summary>
    /// The same rows with activations of other runs, besides those they have, for training what reads them, such as
    /// <see cref="Interventions.RotatedInterchange"/>.
    /// </summary>
    /// <exception cref="ArgumentException">A run has not as many rows as there are here.</exception>
    /// <exception cref="InvalidOperationException">The rows stay on the disk.</exception>
    public TrainingData WithSources(params CollectedActivations[] sources)
    {
        if (Rows is IStreamedRows)
        {
            throw new InvalidOperationException("rows that stay on the disk have no sources, which are in memory: read the file with FromFile");
        }

        foreach (var source in sources.Where(source => source.RowCount != Count))
        {
            throw new ArgumentException(
                $"expected a source for each of the {Count} rows, found '{source.Name}' of {source.RowCount} rows", nameof(sources));
        }

        return new(Rows, [.. Sources, .. sources]);
    }
}
