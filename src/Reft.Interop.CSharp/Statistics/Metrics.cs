using Reft.Internal;

namespace Reft;

/// <summary>How F1 of several labels becomes one number.</summary>
public enum F1Average
{
    /// <summary>The mean over the labels that occur, as a target or as a prediction.</summary>
    Macro,

    /// <summary>All decisions together; of one label per row it is the accuracy.</summary>
    Micro,
}

/// <summary>Numbers that compare what is right with what was predicted. Labels are equal where their texts are.</summary>
public static class Metrics
{
    /// <summary>The share of rows whose label is right.</summary>
    /// <param name="targets">The right labels.</param>
    /// <param name="predictions">The predicted ones.</param>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double Accuracy(IReadOnlyList<string> targets, IReadOnlyList<string> predictions)
    {
        CheckPairs(targets.Count, predictions.Count);
        var right = 0;
        for (var i = 0; i < targets.Count; i++)
        {
            right += string.Equals(targets[i], predictions[i], StringComparison.Ordinal) ? 1 : 0;
        }

        return (double)right / targets.Count;
    }

    /// <summary>F1 of one label: the harmonic mean of precision and recall; 0 where the label never occurs.</summary>
    /// <param name="targets">The right labels.</param>
    /// <param name="predictions">The predicted ones.</param>
    /// <param name="positive">The label.</param>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double F1(IReadOnlyList<string> targets, IReadOnlyList<string> predictions, string positive)
    {
        var (table, labels) = TableOf(targets, predictions);
        return labels.TryGetValue(positive, out var label) ? Core.Confusion.f1(label, table) : 0;
    }

    /// <summary>F1 of all labels.</summary>
    /// <param name="targets">The right labels.</param>
    /// <param name="predictions">The predicted ones.</param>
    /// <param name="average">How they become one number.</param>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double F1(IReadOnlyList<string> targets, IReadOnlyList<string> predictions, F1Average average) =>
        average == F1Average.Macro
            ? Core.Confusion.macroF1(TableOf(targets, predictions).Table)
            : Accuracy(targets, predictions);

    /// <summary>
    /// Matthews' correlation, for any number of labels (R_K, Gorodkin 2004); 0 where all rows or all predictions are of one label.
    /// </summary>
    /// <param name="targets">The right labels.</param>
    /// <param name="predictions">The predicted ones.</param>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double Matthews(IReadOnlyList<string> targets, IReadOnlyList<string> predictions) =>
        Core.Confusion.matthews(TableOf(targets, predictions).Table);

    /// <summary>How often each label was predicted where each label was right.</summary>
    /// <param name="targets">The right labels.</param>
    /// <param name="predictions">The predicted ones.</param>
    /// <returns>The count of each pair of a right label and a predicted one that occurs.</returns>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static IReadOnlyDictionary<(string Target, string Predicted), int> Confusion(
        IReadOnlyList<string> targets, IReadOnlyList<string> predictions)
    {
        CheckPairs(targets.Count, predictions.Count);
        return targets.Zip(predictions).GroupBy(pair => pair).ToDictionary(group => group.Key, group => group.Count());
    }

    /// <summary>Pearson's correlation; null where either side has no variance.</summary>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double? Pearson(IReadOnlyList<double> x, IReadOnlyList<double> y)
    {
        CheckPairs(x.Count, y.Count);
        return Core.Correlation.pearson([.. x], [.. y]).ToNullable();
    }

    /// <summary>
    /// Spearman's correlation: Pearson's of the ranks, of which equal numbers have the mean. Null where either side has no
    /// variance.
    /// </summary>
    /// <exception cref="ArgumentException">There is no row, or not as many on both sides.</exception>
    public static double? Spearman(IReadOnlyList<double> x, IReadOnlyList<double> y)
    {
        CheckPairs(x.Count, y.Count);
        return Core.Correlation.spearman([.. x], [.. y]).ToNullable();
    }

    private static (Core.ConfusionTable Table, Dictionary<string, int> Labels) TableOf(
        IReadOnlyList<string> targets, IReadOnlyList<string> predictions)
    {
        CheckPairs(targets.Count, predictions.Count);
        var labels = new Dictionary<string, int>(StringComparer.Ordinal);
        var pairs = new (int, int)[targets.Count];
        for (var i = 0; i < pairs.Length; i++)
        {
            pairs[i] = (NumberOf(targets[i]), NumberOf(predictions[i]));
        }

        return (Core.Confusion.ofPairs(labels.Count, pairs), labels);

        int NumberOf(string label) => labels.TryGetValue(label, out var number) ? number : labels[label] = labels.Count;
    }

    private static void CheckPairs(int targets, int predictions)
    {
        if (targets == 0 || targets != predictions)
        {
            throw new ArgumentException(
                $"expected as many predictions as targets and at least one, found {targets} targets and {predictions} predictions",
                nameof(predictions));
        }
    }
}
