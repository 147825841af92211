using System.Globalization;

namespace Reft.Internal;

/// <summary>The labels of rows → the numbers of a task's outputs.</summary>
internal sealed class RowTargets(Core.SequenceTask task)
{
    private readonly Dictionary<string, int> _numbers =
        task.Labels.Select((label, i) => (label, i)).ToDictionary(pair => pair.label, pair => pair.i, StringComparer.Ordinal);

    /// <summary>What a row is labelled with.</summary>
    /// <exception cref="InvalidDataException">It has no label, or none of the task: the message names the row and the field.</exception>
    public Core.RowTarget Of(LabelledRow row, int index)
    {
        var source = row.Source ?? $"row {index}";
        return task.Problem switch
        {
            { IsRegression: true } => row.Value is { } value && double.IsFinite(value)
                ? Core.RowTarget.NewValues(new[] { value }.ToFSharpList())
                : throw RowForm.Refuse(source, "label", $"a regression expects a finite number, found {Found(row)}"),
            { IsMultiLabel: true } => Core.RowTarget.NewLabels(
                (row.Labels ?? (row.Label is { } only ? [only] : throw RowForm.Refuse(source, "labels", "expected the labels that hold, found none: an empty array says that none does")))
                .Select(label => Number(label, "labels", source)).Distinct().ToFSharpList()),
            _ => row.Label is { } label
                ? Core.RowTarget.NewLabel(Number(label, "label", source))
                : throw RowForm.Refuse(source, "label", $"expected a label, found {Found(row)}"),
        };
    }

    /// <summary>The whole number that a label is written as; null where it is a name.</summary>
    public static int? NumberOf(string label) =>
        int.TryParse(label, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
        && number.ToString(CultureInfo.InvariantCulture) == label
            ? number
            : null;

    // A number stands for a name only where no name is a number: labels may be called 1, 2, 3.
    private int Number(string label, string field, string source) =>
        _numbers.TryGetValue(label, out var known) ? known
        : NumberOf(label) is { } number && number < task.Labels.Length && task.Labels.All(name => NumberOf(name) is null) ? number
        : throw RowForm.Refuse(
            source,
            field,
            $"expected one of {string.Join(", ", task.Labels.Take(20))}{(task.Labels.Length > 20 ? ", …" : "")}, or its number, found '{label}'");

    /// <summary>What a row is labelled with, for complaints.</summary>
    public static string Found(LabelledRow row) =>
        row.Labels is not null ? "several labels"
        : row.Label is { } label ? $"'{label}'"
        : row.Value is { } value ? value.ToString(CultureInfo.InvariantCulture)
        : "none";
}
