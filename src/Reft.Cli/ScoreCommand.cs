using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary><c>reft score</c>: how likely a model finds rows.</summary>
internal static class ScoreCommand
{
    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Input = Values.Required(
        "--input",
        "FILE",
        """Rows {"input_ids": […]}, {"text": …}, or those of `reft train`, in any of its formats: with a prompt, only what follows it is scored.""");

    private static readonly Option<int> BatchSize = Values.Option(
        "--batch-size", "N", "Rows that are computed together.", 8, Values.IntegerFrom(1));

    private static readonly Option<bool> Json = CommonOptions.Json(
        """one line per row, {"input_ids": […], "logprobs": [n − 1 values], "loss": the mean over the scored tokens},""");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "score", "Log-probabilities and loss of rows.", [.. Model.Which, .. AdapterChoice.All, Input, .. RowOptions.All, BatchSize, .. Model.How, Json]);
        command.Validators.Add(AdapterChoice.Check);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var rows = DataRow.FromFile(parsed.GetRequiredValue(Input), RowUse.Score, RowOptions.Read(parsed));
        using var model = await Model.LoadAsync(parsed, model => AdapterChoice.Apply(parsed, model)).ConfigureAwait(false);

        var losses = new List<double>();
        var scores = model.Score(rows, parsed.GetValue(BatchSize)).Select((score, i) => Finite(score, rows[i]));
        await RowDisplay.ShowAsync("scored", rows.Count, scores, score =>
        {
            if (score.Loss is { } loss)
            {
                losses.Add(loss);
            }

            if (parsed.GetValue(Json))
            {
                WriteJson(output, score);
            }
            else
            {
                var shown = score.Loss?.ToString("0.0000", CultureInfo.InvariantCulture) ?? "none scored";
                output.Line(string.Create(CultureInfo.InvariantCulture, $"{score.TokenIds.Count} tokens\tloss {shown}"));
            }
        }).ConfigureAwait(false);

        if (!parsed.GetValue(Json) && losses.Count > 0)
        {
            output.Line(string.Create(
                CultureInfo.InvariantCulture, $"{rows.Count} rows\tmean loss {losses.Average():0.0000}"));
        }

        return ExitCode.Success;
    }

    private static RowScore Finite(RowScore score, DataRow row) =>
        score.LogProbs.All(float.IsFinite)
            ? score
            : throw new InvalidDataException(
                $"{row.Source}: the model gives probabilities that are not numbers: its weights, or the adapter's, are damaged or do not fit the dtype");

    private static void WriteJson(StandardOutput output, RowScore score) =>
        output.JsonLine(json =>
        {
            json.WriteNumbers("input_ids", score.TokenIds);
            json.WriteStartArray("logprobs");
            foreach (var value in score.LogProbs)
            {
                json.WriteNumberValue(value);
            }

            json.WriteEndArray();
            json.WriteNumberOrNull("loss", score.Loss);
        });
}
