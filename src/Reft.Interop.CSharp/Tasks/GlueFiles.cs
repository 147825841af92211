using System.Globalization;

namespace Reft.Internal;

/// <summary>The columns of a GLUE file.</summary>
/// <param name="Label">That of the label.</param>
/// <param name="First">That of the text.</param>
/// <param name="Second">That of the second text, if there is one.</param>
internal sealed record GlueColumns(string Label, string First, string? Second = null)
{
    /// <summary>How many columns a file without a header has; they are called 0, 1, 2 …</summary>
    public int? Unnamed { get; init; }
}

/// <summary>The files of a task of GLUE.</summary>
/// <param name="task">The task.</param>
/// <param name="tsv">The columns of GLUE's own files.</param>
/// <param name="parquet">Those of the datasets hub.</param>
internal sealed class GlueFiles(GlueTask task, GlueColumns tsv, GlueColumns parquet)
{
    private const string Paraphrases = "msr_paraphrase_train.txt";
    private const double LargestSimilarity = 5;
    private static readonly string[] HeldIds = ["dev_ids.tsv", "mrpc_dev_ids.tsv"];

    private string Held => task.Name == "mnli" ? "_matched" : "";

    /// <summary>The rows to train on, those that are held out, and how many lines were passed over.</summary>
    public (IReadOnlyList<LabelledRow> Train, IReadOnlyList<LabelledRow> Held, int Incomplete) Read(string folder)
    {
        var place = new[] { folder, Path.Combine(folder, task.Title), Path.Combine(folder, task.Name) }.FirstOrDefault(HasFiles)
            ?? throw new FileNotFoundException(
                $"{folder} holds no files of {task.Title}: expected train.tsv and dev{Held}.tsv, or train-*.parquet and validation{Held}-*.parquet, there or in its folder {task.Title} or {task.Name}",
                folder);
        var ((train, skippedTrain), (held, skippedHeld)) = (Part(place, "train", "train"), Part(place, "dev" + Held, "validation" + Held));
        if (train.Count == 0)
        {
            throw new InvalidDataException($"{place}: expected rows to train on, found none");
        }

        return (train, held, skippedTrain + skippedHeld);
    }

    private bool HasFiles(string folder) =>
        Directory.Exists(folder)
        && (File.Exists(Path.Combine(folder, "train.tsv")) || ParquetFiles(folder, "train").Count > 0 || HasParaphrases(folder));

    private bool HasParaphrases(string folder) => task.Name == "mrpc" && File.Exists(Path.Combine(folder, Paraphrases));

    private static List<string> ParquetFiles(string folder, string split) =>
        [
            .. Directory.EnumerateFiles(folder, split + "*.parquet")
                .Where(path => Path.GetFileName(path) is var name && (name == split + ".parquet" || name.StartsWith(split + "-", StringComparison.Ordinal)))
                .Order(StringComparer.Ordinal),
        ];

    private (IReadOnlyList<LabelledRow> Rows, int Incomplete) Part(string folder, string tsvName, string parquetName)
    {
        var text = Path.Combine(folder, tsvName + ".tsv");
        if (!File.Exists(text) && HasParaphrases(folder))
        {
            return Divided(folder, tsvName == "dev");
        }

        if (File.Exists(text))
        {
            var lines = new GlueLines(text, tsv.Unnamed);
            LabelledRow[] rows = [.. lines.Rows().Select(line => RowOf(line, tsv))];
            return (rows, lines.Incomplete);
        }

        var files = ParquetFiles(folder, parquetName);
        return files.Count > 0
            ? ([.. files.SelectMany(Rows)], 0)
            : throw new FileNotFoundException($"there is no file {text}, nor {parquetName}-*.parquet beside it", text);
    }

    // GLUE's dev rows of MRPC are those of the original training file whose ids it lists.
    private (IReadOnlyList<LabelledRow> Rows, int Incomplete) Divided(string folder, bool held)
    {
        var ids = HeldIds.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
            ?? throw new FileNotFoundException(
                $"{Path.Combine(folder, Paraphrases)} holds the validation rows too: expected dev_ids.tsv beside it, which GLUE publishes to tell them apart",
                Path.Combine(folder, "dev_ids.tsv"));
        var chosen = new GlueLines(ids, 2).Rows().Select(line => (line["0"], line["1"])).ToHashSet();
        var lines = new GlueLines(Path.Combine(folder, Paraphrases), null);
        LabelledRow[] rows =
        [
            .. lines.Rows().Where(line => chosen.Contains((line["#1 ID"], line["#2 ID"])) == held).Select(line => RowOf(line, tsv)),
        ];
        return (rows, held ? 0 : lines.Incomplete);
    }

    private IReadOnlyList<LabelledRow> Rows(string path)
    {
        var fields = DataFields.Standard.With("text", parquet.First).With("label", parquet.Label);
        fields = parquet.Second is { } second ? fields.With("text_pair", second) : fields;
        return
        [
            .. LabelledRow.FromFile(path, new DataOptions { Format = DataFormat.Parquet, Fields = fields }).Select(row =>
            {
                var source = row.Source!;
                var label = row.Label ?? row.Value?.ToString("R", CultureInfo.InvariantCulture)
                    ?? throw RowError.Of(source, parquet.Label, "expected a label, found none");
                return Labelled(
                    new LabelledRow
                    {
                        Text = row.Text ?? throw RowError.Of(source, parquet.First, "expected a text, found none"),
                        TextPair = parquet.Second is null || row.TextPair is not null
                            ? row.TextPair
                            : throw RowError.Of(source, parquet.Second, "expected a text, found none"),
                        Source = source,
                    },
                    parquet.Label,
                    label);
            }),
        ];
    }

    private LabelledRow RowOf(GlueLine line, GlueColumns columns) =>
        Labelled(
            new LabelledRow
            {
                Text = line[columns.First],
                TextPair = columns.Second is { } second ? line[second] : null,
                Source = line.Source,
            },
            columns.Label,
            line[columns.Label]);

    private LabelledRow Labelled(LabelledRow row, string column, string label)
    {
        if (task.Labels.Count == 0)
        {
            return double.TryParse(label, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value is >= 0 and <= LargestSimilarity
                ? row with { Value = value }
                : throw RowError.Of(row.Source!, column, $"expected a number of 0 … {LargestSimilarity}, found '{label}'{Hidden(label)}");
        }

        return task.Labels.Contains(label) ? row with { Label = label }
            : RowTargets.NumberOf(label) is { } number && number < task.Labels.Count ? row with { Label = task.Labels[number] }
            : throw RowError.Of(
                row.Source!, column, $"expected one of {string.Join(", ", task.Labels)}, or its number, found '{label}'{Hidden(label)}");
    }

    private static string Hidden(string label) =>
        label is "-1" or "-1.0" ? ": GLUE hides the labels of its test rows, and these seem to be some" : "";
}
