using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>What <c>reft train</c> reports.</summary>
internal sealed record TrainOutcome(
    string Output, ReftDescription Described, TrainingResult Result, HeldOutScore? Before, HeldOutScore? After)
{
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteString("output", Output);
        json.WriteBoolean("cancelled", Result.Cancelled);
        json.WriteString("end", Result.End switch
        {
            TrainingEnd.EarlyStopped => "early_stopped",
            TrainingEnd.Cancelled => "cancelled",
            _ => "completed",
        });
        json.WriteNumberOrNull("resumed_from", Result.Resumed?.Step);
        json.WriteTexts("warnings", Result.Warnings);
        json.WriteNumber("steps", Result.History.Count);
        json.WriteStartArray("losses");
        foreach (var step in Result.History)
        {
            if (step.Skipped && !double.IsFinite(step.Loss))
            {
                json.WriteNullValue();
            }
            else
            {
                json.WriteNumberValue(step.Loss);
            }
        }

        json.WriteEndArray();
        if (Result.Best is { } best)
        {
            json.WriteStartObject("best");
            json.WriteNumber("step", best.Step);
            json.WriteString("metric", best.Metric);
            json.WriteNumberOrNull("value", best.Value);
            json.WriteEndObject();
        }

        json.WriteNumberOrNull("final_loss", Result.FinalLoss);
        json.WriteStartObject("evaluation");
        json.WriteNumberOrNull("before", Before?.Loss);
        json.WriteNumberOrNull("after", After?.Loss);
        WritePair(json, "accuracy", Before?.Accuracy, After?.Accuracy);
        WritePair(json, "f1", Before?.F1, After?.F1);
        WritePair(json, "matthews", Before?.Matthews, After?.Matthews);
        WritePair(json, "pearson", Before?.Pearson, After?.Pearson);
        WritePair(json, "spearman", Before?.Spearman, After?.Spearman);
        json.WriteEndObject();
        json.WriteNumber("trainable_parameters", Described.TrainableParameters);
        if (Described.Classifier is { } head)
        {
            json.WriteNumber("head_parameters", head.TrainableParameters);
            json.WriteTexts("labels", head.Labels);
        }

        json.WriteNumber("base_parameters", Described.BaseParameters);
        json.WriteNumber("trainable_percent", Described.TrainablePercent);
        json.WriteNumber("trained_rows", Result.TrainedRows);
        json.WriteNumber("skipped_rows", Result.SkippedRows);
        json.WriteNumber("skipped_evaluation_rows", Result.SkippedEvaluationRows);
        json.WriteNumber("seconds", Result.Duration.TotalSeconds);
        json.WriteNumber("peak_memory_bytes", PeakMemory.Bytes());
    }

    public override string ToString()
    {
        FormattableString[] lines =
        [
            $"adapter         {Output}",
            $"steps           {Result.History.Count}{(Result.End == TrainingEnd.EarlyStopped ? ", stopped early" : "")}",
            .. Result.Resumed is { } from ? (FormattableString[])[$"resumed         after step {from.Step}"] : [],
            .. Result.Best is { } best ? (FormattableString[])[$"best            {best.Metric} {best.Value:0.0000} after step {best.Step}"] : [],
            $"loss            {Result.History[0].Loss:0.0000} → {Result.FinalLoss:0.0000}",
            .. Changed("held-out loss", Before?.Loss, After?.Loss),
            .. Changed("accuracy", Before?.Accuracy, After?.Accuracy),
            .. Changed("F1", Before?.F1, After?.F1),
            .. Changed("Matthews", Before?.Matthews, After?.Matthews),
            .. Changed("Pearson", Before?.Pearson, After?.Pearson),
            .. Changed("Spearman", Before?.Spearman, After?.Spearman),
            $"trained         {Described.TrainableParameters:N0} parameters, {Described.TrainablePercent:0.####} % of {Described.BaseParameters:N0}",
            .. Described.Classifier is { } head ? (FormattableString[])[$"head            {head}"] : [],
            $"rows            {Result.TrainedRows}, and {Result.SkippedRows} skipped",
            $"seconds         {Result.Duration.TotalSeconds:0.0}",
            $"peak memory     {PeakMemory.Bytes() / 1048576.0:N0} MB",
        ];
        return string.Concat(lines.Select(line => line.ToString(CultureInfo.InvariantCulture) + "\n"));
    }

    private static FormattableString[] Changed(string name, double? before, double? after) =>
        before is { } first && after is { } last ? [$"{name,-15} {first:0.0000} → {last:0.0000}"] : [];

    // Only where there is such a number.
    private static void WritePair(Utf8JsonWriter json, string name, double? before, double? after)
    {
        if (before is not null || after is not null)
        {
            json.WriteStartObject(name);
            json.WriteNumberOrNull("before", before);
            json.WriteNumberOrNull("after", after);
            json.WriteEndObject();
        }
    }
}
