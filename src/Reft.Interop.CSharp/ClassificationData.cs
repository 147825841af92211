using Reft.Internal;

namespace Reft;

/// <summary>Labelled rows to train on or to evaluate; they are tokenised by the model that trains on them.</summary>
public sealed class ClassificationData
{
    private ClassificationData(IReadOnlyList<LabelledRow> rows) => Rows = rows;

    /// <summary>The rows.</summary>
    public IReadOnlyList<LabelledRow> Rows { get; }

    /// <summary>The number of rows.</summary>
    public int Count => Rows.Count;

    /// <summary>Reads a JSON Lines file; see <see cref="LabelledRow.FromJsonLines"/>.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static ClassificationData FromJsonLines(string path) => new(LabelledRow.FromJsonLines(path));

    /// <summary>Reads a file of JSON Lines, JSON, CSV, TSV or Parquet; see <see cref="LabelledRow.FromFile"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Its format, the names of its columns, a template, and whether its rows stay on the disk.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not such a row: the message names the file, the row and the field.</exception>
    public static ClassificationData FromFile(string path, DataOptions? options = null) => new(LabelledRow.FromFile(path, options));

    /// <summary>The same for data that are larger than memory; see <see cref="DataOptions.Stream"/>.</summary>
    /// <inheritdoc cref="FromFile"/>
    public static ClassificationData Stream(string path, DataOptions? options = null) =>
        FromFile(path, (options ?? new DataOptions()) with { Stream = true });

    /// <summary>These rows.</summary>
    public static ClassificationData FromRows(IEnumerable<LabelledRow> rows) => new([.. rows]);

    /// <summary>Texts and their labels.</summary>
    public static ClassificationData FromLabels(IEnumerable<(string Text, string Label)> rows) =>
        FromRows(rows.Select(row => new LabelledRow { Text = row.Text, Label = row.Label }));

    /// <summary>Texts and their numbers, for a regression.</summary>
    public static ClassificationData FromValues(IEnumerable<(string Text, double Value)> rows) =>
        FromRows(rows.Select(row => new LabelledRow { Text = row.Text, Value = row.Value }));

    /// <summary>
    /// The head that suits the rows: a regression where all have numbers and not all of them are whole, else the labels
    /// that they have, in alphabetical order, or by value where all are whole numbers.
    /// </summary>
    /// <param name="problem">What is to be predicted; where it is not given, what the rows look like.</param>
    /// <exception cref="InvalidDataException">A row has no label.</exception>
    /// <exception cref="ArgumentException">There is no row.</exception>
    public ClassifierOptions ToClassifier(ClassifierProblem? problem = null)
    {
        if (Rows.Count == 0)
        {
            throw new ArgumentException("the dataset is empty: expected at least one row to take labels from", nameof(problem));
        }

        var found = problem ?? (Rows.Any(row => row.Labels is not null) ? ClassifierProblem.MultiLabel
            : Rows.All(row => row.Value is not null) && Rows.Any(row => row.Label is null) ? ClassifierProblem.Regression
            : ClassifierProblem.SingleLabel);
        return new ClassifierOptions
        {
            Problem = found,
            Labels = found == ClassifierProblem.Regression ? [] : InOrder([.. Rows.SelectMany(LabelsOf).Distinct()]),
        };

        IEnumerable<string> LabelsOf(LabelledRow row, int index) =>
            row.Labels is { } several && found == ClassifierProblem.MultiLabel ? several
            : row.Label is { } label ? [label]
            : throw new InvalidDataException($"{row.Source ?? $"row {index}"}: field 'label': expected a label, found {RowTargets.Found(row)}");
    }

    // Numbers by their value, names by their letters.
    private static IReadOnlyList<string> InOrder(string[] labels) =>
        labels.All(label => RowTargets.NumberOf(label) is not null)
            ? [.. labels.OrderBy(RowTargets.NumberOf)]
            : [.. labels.Order(StringComparer.Ordinal)];
}
