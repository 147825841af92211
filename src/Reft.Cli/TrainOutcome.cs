using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>What <c>reft train</c> reports.</summary>
internal sealed record TrainOutcome(string Output, ReftDescription Described, TrainingResult Result, double? HeldOutBefore)
{
    // The last evaluation of a run that was stopped is older than what it saved.
    private double? HeldOutAfter => Result.Cancelled ? null : Result.EvaluationLoss;

    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteString("output", Output);
        json.WriteBoolean("cancelled", Result.Cancelled);
        json.WriteNumber("steps", Result.History.Count);
        json.WriteStartArray("losses");
        foreach (var step in Result.History)
        {
            json.WriteNumberValue(step.Loss);
        }

        json.WriteEndArray();
        json.WriteNumberOrNull("final_loss", Result.FinalLoss);
        json.WriteStartObject("evaluation");
        json.WriteNumberOrNull("before", HeldOutBefore);
        json.WriteNumberOrNull("after", HeldOutAfter);
        json.WriteEndObject();
        json.WriteNumber("trainable_parameters", Described.TrainableParameters);
        json.WriteNumber("base_parameters", Described.BaseParameters);
        json.WriteNumber("trainable_percent", Described.TrainablePercent);
        json.WriteNumber("trained_rows", Result.TrainedRows);
        json.WriteNumber("skipped_rows", Result.SkippedRows);
        json.WriteNumber("skipped_evaluation_rows", Result.SkippedEvaluationRows);
        json.WriteNumber("seconds", Result.Duration.TotalSeconds);
    }

    public override string ToString()
    {
        FormattableString[] lines =
        [
            $"adapter         {Output}",
            $"steps           {Result.History.Count}",
            $"loss            {Result.History[0].Loss:0.0000} → {Result.FinalLoss:0.0000}",
            .. HeldOutBefore is { } before && HeldOutAfter is { } after
                ? (FormattableString[])[$"held-out loss   {before:0.0000} → {after:0.0000}"]
                : [],
            $"trained         {Described.TrainableParameters:N0} parameters, {Described.TrainablePercent:0.####} % of {Described.BaseParameters:N0}",
            $"rows            {Result.TrainedRows}, and {Result.SkippedRows} skipped",
            $"seconds         {Result.Duration.TotalSeconds:0.0}",
        ];
        return string.Concat(lines.Select(line => line.ToString(CultureInfo.InvariantCulture) + "\n"));
    }
}
