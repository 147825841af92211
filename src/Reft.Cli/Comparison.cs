using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>A method with its runs, at least one.</summary>
internal sealed record ComparedMethod(string Method, IReadOnlyList<ComparedRun> Runs);

/// <summary>The mean of some numbers, and their standard deviation where there are several (n − 1 in its denominator).</summary>
internal sealed record Spread(double Mean, double? Deviation)
{
    public static Spread? Of(IEnumerable<double?> numbers)
    {
        double[] found = [.. numbers.OfType<double>()];
        if (found.Length == 0)
        {
            return null;
        }

        var mean = found.Average();
        return new Spread(
            mean, found.Length < 2 ? null : Math.Sqrt(found.Sum(x => (x - mean) * (x - mean)) / (found.Length - 1)));
    }

    public string ToString(string format) =>
        Mean.ToString(format, CultureInfo.InvariantCulture)
        + (Deviation is { } deviation ? " ± " + deviation.ToString(format, CultureInfo.InvariantCulture) : "");
}

/// <summary>What <c>reft compare</c> reports.</summary>
internal sealed record Comparison(IReadOnlyList<ComparedMethod> Methods)
{
    private static readonly (string Name, string Title, Func<ComparedRun, double?> Of, string Format)[] Measures =
    [
        ("loss", "held-out loss", run => run.Loss, "0.0000"),
        ("accuracy", "accuracy", run => run.Accuracy, "0.0000"),
        ("f1", "F1", run => run.F1, "0.0000"),
        ("matthews", "Matthews", run => run.Matthews, "0.0000"),
        ("pearson", "Pearson", run => run.Pearson, "0.0000"),
        ("spearman", "Spearman", run => run.Spearman, "0.0000"),
        ("seconds", "seconds", run => run.Seconds, "0.0"),
        ("peak_memory_bytes", "peak MB", run => run.PeakMemoryBytes, "0"),
    ];

    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartArray("methods");
        foreach (var method in Methods)
        {
            json.WriteStartObject();
            json.WriteString("method", method.Method);
            json.WriteNumber("trainable_parameters", method.Runs[0].TrainableParameters);
            json.WriteNumber("trainable_percent", method.Runs[0].TrainablePercent);
            foreach (var measure in Measures)
            {
                if (Spread.Of(method.Runs.Select(measure.Of)) is { } spread)
                {
                    json.WriteStartObject(measure.Name);
                    json.WriteNumber("mean", spread.Mean);
                    json.WriteNumberOrNull("deviation", spread.Deviation);
                    json.WriteEndObject();
                }
            }

            json.WriteStartArray("runs");
            foreach (var run in method.Runs)
            {
                json.WriteStartObject();
                json.WriteNumber("seed", run.Seed);
                json.WriteNumber("steps", run.Steps);
                if (run.HeadParameters is { } head)
                {
                    json.WriteNumber("head_parameters", head);
                }

                foreach (var measure in Measures)
                {
                    if (measure.Of(run) is { } value)
                    {
                        json.WriteNumber(measure.Name, value);
                    }
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    public override string ToString()
    {
        var shown = Measures.Where(measure => Methods.Any(method => method.Runs.Any(run => measure.Of(run) is not null))).ToArray();
        string[][] rows =
        [
            ["method", "runs", "parameters", "%", .. shown.Select(measure => measure.Title)],
            .. Methods.Select(method => (string[])
            [
                method.Method,
                method.Runs.Count.ToString(CultureInfo.InvariantCulture),
                method.Runs[0].TrainableParameters.ToString("N0", CultureInfo.InvariantCulture),
                method.Runs[0].TrainablePercent.ToString("0.####", CultureInfo.InvariantCulture),
                .. shown.Select(measure => Spread.Of(method.Runs.Select(Scaled(measure)))?.ToString(measure.Format) ?? ""),
            ]),
        ];
        var widths = rows[0].Select((_, column) => rows.Max(row => row[column].Length)).ToArray();
        return string.Concat(rows.Select(row => string.Join("  ", row.Select(Padded)).TrimEnd() + "\n"));

        // Names to the left, numbers to the right.
        string Padded(string cell, int column) => column == 0 ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]);

        static Func<ComparedRun, double?> Scaled((string Name, string Title, Func<ComparedRun, double?> Of, string Format) measure) =>
            measure.Name == "peak_memory_bytes" ? run => run.PeakMemoryBytes / 1048576.0 : measure.Of;
    }
}
