using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary><c>reft classify</c>: the labels or numbers of rows.</summary>
internal static class ClassifyCommand
{
    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Input = Values.Required(
        "--input", "FILE", """Rows, in any format of `reft train`: {"text": …}, with "text_pair" for a second text, or {"input_ids": […]}. Labels are read with --evaluate alone.""");

    private static readonly Option<int> BatchSize = Values.Option(
        "--batch-size", "N", "Rows that are computed together.", 8, Values.IntegerFrom(1));

    private static readonly Option<bool> Json = CommonOptions.Json(
        """one line per row, {"label": …, "labels": […], "value": …, "scores": {label: probability}},""");

    private static readonly Option<bool> Evaluate = Values.Flag(
        "--evaluate", """Say last how well the rows' labels are predicted: loss, and accuracy, F1 and Matthews, or the correlations; with --json as {"evaluation": …}.""");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "classify",
            "Labels of rows, with their probabilities, or the numbers of a regression.",
            [.. Model.Which, .. AdapterChoice.All, Input, .. RowOptions.All, BatchSize, Evaluate, .. Model.How, Json]);
        command.Validators.Add(AdapterChoice.Check);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var rows = LabelledRow.FromFile(parsed.GetRequiredValue(Input), RowOptions.Read(parsed));
        using var model = await Model.LoadAsync(parsed, model => AdapterChoice.Apply(parsed, model)).ConfigureAwait(false);
        var found = model.Classify(rows, parsed.GetValue(BatchSize));
        await RowDisplay.ShowAsync("classified", rows.Count, found, row =>
        {
            if (parsed.GetValue(Json))
            {
                WriteJson(output, row);
            }
            else
            {
                output.Line(Line(row));
            }
        }).ConfigureAwait(false);
        if (parsed.GetValue(Evaluate))
        {
            Show(output, parsed.GetValue(Json), model.EvaluateClassifier(ClassificationData.FromRows(rows), parsed.GetValue(BatchSize)));
        }

        return ExitCode.Success;
    }

    private static void Show(StandardOutput output, bool asJson, ClassifierEvaluation found)
    {
        (string Name, double? Value)[] metrics =
        [
            ("loss", found.Loss), ("accuracy", found.Accuracy), ("f1", found.F1), ("matthews", found.Matthews),
            ("pearson", found.Pearson), ("spearman", found.Spearman),
        ];
        var given = metrics.Where(metric => metric.Value is not null).ToArray();
        if (!asJson)
        {
            output.Line(string.Join('\t', given.Select(metric =>
                string.Create(CultureInfo.InvariantCulture, $"{metric.Name} {metric.Value:0.0000}")).Prepend($"{found.Rows} rows")));
            return;
        }

        output.JsonLine(json =>
        {
            json.WriteStartObject("evaluation");
            json.WriteNumber("rows", found.Rows);
            foreach (var (name, value) in given)
            {
                json.WriteNumberOrNull(name, value);
            }

            json.WriteEndObject();
        });
    }

    private static string Line(Classification row)
    {
        var likely = row.Scores.OrderByDescending(score => score.Score)
            .Select(score => string.Create(CultureInfo.InvariantCulture, $"{score.Label} {score.Score:0.0000}"));
        return row.Value is { } value ? value.ToString("0.0000", CultureInfo.InvariantCulture)
            : string.Join('\t', [row.Label ?? string.Join(", ", row.Labels), .. likely]);
    }

    private static void WriteJson(StandardOutput output, Classification row) =>
        output.JsonLine(json =>
        {
            json.WriteString("label", row.Label);
            json.WriteTexts("labels", row.Labels);
            json.WriteNumberOrNull("value", row.Value);
            json.WriteStartObject("scores");
            foreach (var score in row.Scores)
            {
                json.WriteNumber(score.Label, score.Score);
            }

            json.WriteEndObject();
        });
}
