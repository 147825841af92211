using Reft.Internal;

namespace Reft;

/// <summary>A task of GLUE split as the paper does.</summary>
/// <param name="Train">The rows to train on.</param>
/// <param name="Validation">The rows by which the best epoch is chosen.</param>
/// <param name="Test">The rows of the result.</param>
public sealed record GlueSplits(
    IReadOnlyList<LabelledRow> Train, IReadOnlyList<LabelledRow> Validation, IReadOnlyList<LabelledRow> Test)
{
    /// <summary>
    /// How many lines of the files have too few columns and were passed over, as in Hugging Face's loader; QQP's have a few.
    /// </summary>
    public int IncompleteLines { get; init; }
}

/// <summary>
/// One of the eight tasks of GLUE (Wang et al. 2019) in the paper. Its files are read as GLUE publishes them (tab-separated, where
/// a quote is a character like any other) or as the datasets hub has them (Parquet).
/// </summary>
/// <remarks>
/// GLUE's test labels are hidden. The paper divides the validation rows in two, by the seed: where there are more than 5,000
/// (MNLI, QNLI, QQP), 1,000 choose the best epoch, else half of them; the rest is the test. pyreft divides them with torch's
/// <c>random_split</c>, right after the seed is set, and <see cref="Load"/> gives the same rows in the same order.
/// </remarks>
public sealed class GlueTask
{
    private static readonly string[] Accuracy = ["accuracy"];
    private readonly GlueColumns _tsv;
    private readonly GlueColumns _parquet;

    private GlueTask(
        string name,
        string title,
        IReadOnlyList<string> labels,
        IReadOnlyList<string> metrics,
        GlueColumns tsv,
        GlueColumns parquet)
    {
        (Name, Title, Labels, ReportedMetrics, _tsv, _parquet) = (name, title, labels, metrics, tsv, parquet);
    }

    /// <summary>The eight tasks, in the order of the paper's tables.</summary>
    public static IReadOnlyList<GlueTask> All { get; } =
    [
        new(
            "mnli", "MNLI", ["entailment", "neutral", "contradiction"], Accuracy,
            new("gold_label", "sentence1", "sentence2"), new("label", "premise", "hypothesis")),
        new("sst2", "SST-2", ["negative", "positive"], Accuracy, new("label", "sentence"), new("label", "sentence")),
        new(
            "mrpc", "MRPC", ["not_equivalent", "equivalent"], ["accuracy", "f1"],
            new("Quality", "#1 String", "#2 String"), new("label", "sentence1", "sentence2")),
        new(
            "cola", "CoLA", ["unacceptable", "acceptable"], ["matthews"],
            new("1", "3") { Unnamed = 4 }, new("label", "sentence")),
        new(
            "qnli", "QNLI", ["entailment", "not_entailment"], Accuracy,
            new("label", "question", "sentence"), new("label", "question", "sentence")),
        new(
            "qqp", "QQP", ["not_duplicate", "duplicate"], ["accuracy", "f1"],
            new("is_duplicate", "question1", "question2"), new("label", "question1", "question2")),
        new(
            "rte", "RTE", ["entailment", "not_entailment"], Accuracy,
            new("label", "sentence1", "sentence2"), new("label", "sentence1", "sentence2")),
        new(
            "stsb", "STS-B", [], ["pearson", "spearman"],
            new("score", "sentence1", "sentence2"), new("label", "sentence1", "sentence2")),
    ];

    /// <summary>Its name on the datasets hub, e.g. <c>stsb</c>.</summary>
    public string Name { get; }

    /// <summary>Its name in the paper, e.g. <c>STS-B</c>: that of GLUE's folder too.</summary>
    public string Title { get; }

    /// <summary>Its labels, by their number on the datasets hub; empty for STS-B, which has numbers of 0 … 5.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>
    /// The metric of the paper by its name in an evaluation, by which the best epoch is chosen too: <c>matthews</c> for CoLA,
    /// <c>pearson</c> for STS-B, <c>accuracy</c> elsewhere.
    /// </summary>
    public string Metric => ReportedMetrics[0];

    /// <summary>The metrics that GLUE reports, that of the paper first: F1 beside the accuracy for MRPC and QQP.</summary>
    public IReadOnlyList<string> ReportedMetrics { get; }

    /// <summary>What is predicted.</summary>
    public ClassifierProblem Problem => Labels.Count == 0 ? ClassifierProblem.Regression : ClassifierProblem.SingleLabel;

    /// <summary>The task of a name, as on the datasets hub or as in the paper.</summary>
    /// <exception cref="ArgumentException">There is no such task.</exception>
    public static GlueTask Named(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return All.FirstOrDefault(task =>
                string.Equals(task.Name, name, StringComparison.OrdinalIgnoreCase)
                || string.Equals(task.Title, name, StringComparison.OrdinalIgnoreCase))
            ?? throw new ArgumentException(
                $"there is no task '{name}' of GLUE here: expected one of {string.Join(", ", All.Select(task => task.Name))}", nameof(name));
    }

    /// <summary>The classification head that the task needs.</summary>
    public ClassifierOptions ToClassifier() => new() { Problem = Problem, Labels = Labels };

    /// <summary>Reads the task's files and divides the validation rows.</summary>
    /// <param name="folder">
    /// The folder with <c>train.tsv</c> and <c>dev.tsv</c> (MNLI: <c>dev_matched.tsv</c>; MRPC also in the form of
    /// <c>msr_paraphrase_train.txt</c> with <c>dev_ids.tsv</c>), or with <c>train-*.parquet</c> and <c>validation-*.parquet</c>
    /// (MNLI: <c>validation_matched-*.parquet</c>); or the folder that holds it under the task's name.
    /// </param>
    /// <param name="seed">The seed of the division; the paper's are 42 to 46.</param>
    /// <exception cref="FileNotFoundException">The folder holds no such files.</exception>
    /// <exception cref="InvalidDataException">A row is not one of the task: the message names the file, the line and the column.</exception>
    public GlueSplits Load(string folder, long seed = 42)
    {
        ArgumentNullException.ThrowIfNull(folder);
        var (train, held, incomplete) = new GlueFiles(this, _tsv, _parquet).Read(folder);
        var chosen = held.Count > 5000 ? 1000 : held.Count / 2;
        if (chosen == 0)
        {
            throw new InvalidDataException($"{folder}: expected two validation rows or more, to choose by and to test on, found {held.Count}");
        }

        var parts = Core.RandomSplit.byTorch(seed, new[] { held.Count - chosen, chosen }.ToFSharpList());
        return new GlueSplits(train, [.. parts[1].Select(i => held[i])], [.. parts[0].Select(i => held[i])])
        {
            IncompleteLines = incomplete,
        };
    }

    /// <summary>Its name in the paper.</summary>
    public override string ToString() => Title;
}
