using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>How well one model chooses, or two of the same rows.</summary>
/// <param name="First">The evaluation of the first.</param>
/// <param name="Second">That of the second, if there are two.</param>
/// <param name="Difference">The difference of their accuracies, with its interval.</param>
/// <param name="Exact">McNemar's exact test of them.</param>
internal sealed record ChoiceComparison(
    ChoiceEvaluation First, ChoiceEvaluation? Second, PairedTestResult? Difference, PairedTestResult? Exact)
{
    /// <summary>The comparison of results that all say what is right.</summary>
    public static ChoiceComparison Of(IReadOnlyList<ChoiceResult> first, IReadOnlyList<ChoiceResult>? second)
    {
        var one = ChoiceEvaluation.Of(first);
        return second is null
            ? new(one, null, null, null)
            : new(
                one,
                ChoiceEvaluation.Of(second),
                PairedTest.Bootstrap(first, second, rows => rows.Average(row => row.IsRight == true ? 1.0 : 0.0)),
                PairedTest.McNemar([.. first.Select(row => row.IsRight == true)], [.. second.Select(row => row.IsRight == true)]));
    }

    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject("evaluation");
        WriteEvaluation(json, First);
        json.WriteEndObject();
        if (Second is null)
        {
            return;
        }

        json.WriteStartObject("against");
        WriteEvaluation(json, Second);
        json.WriteEndObject();
        json.WriteStartObject("difference");
        json.WriteNumber("accuracy", Difference!.Difference);
        json.WriteNumber("low", Difference.Interval!.Low);
        json.WriteNumber("high", Difference.Interval.High);
        json.WriteNumber("p_value", Exact!.PValue);
        json.WriteEndObject();
    }

    public override string ToString()
    {
        string[] lines =
        [
            .. Lines(First),
            .. Second is null ? [] : Lines(Second).Select((line, i) => i == 0 ? $"against\n{line}" : line),
            .. Difference is null ? Array.Empty<string>()
                : [Line("difference", $"{Difference.Interval}"), Line("McNemar's p", $"{Exact!.PValue:0.####}")],
        ];
        return string.Join('\n', lines) + "\n";
    }

    private static IEnumerable<string> Lines(ChoiceEvaluation found)
    {
        yield return Line("rows", $"{found.Rows}");
        yield return Line("accuracy", $"{found.Accuracy}");
        if (found is { CalibrationError: { } error, Brier: { } brier, NegativeLogLikelihood: { } loss })
        {
            yield return Line("calibration", $"{error:0.0000}");
            yield return Line("Brier", $"{brier:0.0000}");
            yield return Line("−log p", $"{loss:0.0000}");
        }
    }

    private static string Line(string name, FormattableString value) =>
        $"{name,-13}{value.ToString(CultureInfo.InvariantCulture)}";

    private static void WriteEvaluation(Utf8JsonWriter json, ChoiceEvaluation found)
    {
        json.WriteNumber("rows", found.Rows);
        json.WriteStartObject("accuracy");
        json.WriteNumber("estimate", found.Accuracy.Estimate);
        json.WriteNumber("low", found.Accuracy.Low);
        json.WriteNumber("high", found.Accuracy.High);
        json.WriteNumber("level", found.Accuracy.Level);
        json.WriteEndObject();
        json.WriteNumberOrNull("calibration_error", found.CalibrationError);
        json.WriteNumberOrNull("brier", found.Brier);
        json.WriteNumberOrNull("negative_log_likelihood", found.NegativeLogLikelihood);
    }
}
