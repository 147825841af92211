using System.Text.Json;

namespace Reft.Internal;

/// <summary>A line of a training log.</summary>
internal readonly record struct LogLine(string Place, string Text, string Event, JsonElement Json);

/// <summary>Reading training logs, which may come from strangers.</summary>
internal static class TrainingLogReader
{
    public const int Format = 1;

    /// <summary>The lines with their events; a last one that was cut off is left out.</summary>
    public static IEnumerable<LogLine> Lines(string path)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"there is no training log at {path}", path);
        }

        using var lines = File.ReadLines(path).GetEnumerator();
        var more = lines.MoveNext();
        for (var number = 1; more; number++)
        {
            var text = lines.Current;
            more = lines.MoveNext();
            if (text.Length > 0 && Parsed(text, $"{path}:{number}", isLast: !more) is { } line)
            {
                yield return line;
            }
        }
    }

    /// <summary>The whole log.</summary>
    public static TrainingLog Read(string path)
    {
        TrainingLogHeader? header = null;
        var steps = new SortedDictionary<int, TrainingProgress>();
        var resumed = new List<int>();
        var samples = new List<TrainingSample>();
        string? end = null;
        foreach (var line in Lines(path))
        {
            switch (line.Event)
            {
                case "run":
                    header = HeaderOf(line);
                    break;
                case "step":
                    var step = StepOf(line);
                    steps[step.Step] = step;
                    break;
                case "evaluation":
                    With(line, step => step with { Evaluation = Metrics(line) });
                    break;
                case "edits":
                    With(line, step => step with { EditNorms = [.. Items(line, "edits").Select(edit => EditOf(line, edit))] });
                    break;
                case "resumed":
                    resumed.Add(Integer(line, line.Json, "step"));
                    break;
                case "examples":
                    samples.AddRange(Items(line, "examples").Select(sample => SampleOf(line, sample)));
                    break;
                case "end":
                    end = Text(line, line.Json, "reason");
                    break;
            }
        }

        return new TrainingLog { Header = header, Steps = [.. steps.Values], Resumed = resumed, Samples = samples, End = end };

        void With(LogLine line, Func<TrainingProgress, TrainingProgress> change)
        {
            var number = Integer(line, line.Json, "step");
            steps[number] = steps.TryGetValue(number, out var step)
                ? change(step)
                : throw new InvalidDataException($"{line.Place}: expected step {number} before its {line.Event}, found none");
        }
    }

    private static LogLine? Parsed(string text, string place, bool isLast)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            var root = json.RootElement.Clone();
            if (root.ValueKind == JsonValueKind.Object
                && root.TryGetProperty("event", out var name) && name.ValueKind == JsonValueKind.String)
            {
                return new LogLine(place, text, name.GetString()!, root);
            }
        }
        catch (JsonException) when (isLast)
        {
            return null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{place}: expected a line of a training log, found no JSON: {e.Message}", e);
        }

        throw new InvalidDataException($"{place}: expected a line of a training log, an object with an 'event', found none");
    }

    private static TrainingLogHeader HeaderOf(LogLine line)
    {
        var format = Integer(line, line.Json, "format");
        if (format > Format)
        {
            throw new InvalidDataException(
                $"{line.Place}: expected 'format' of {Format} at most, found {format}: the log was written by a newer version");
        }

        return new TrainingLogHeader
        {
            Started = line.Json.TryGetProperty("started", out var started) && started.TryGetDateTimeOffset(out var time)
                ? time
                : throw Missing(line, "started", "a time"),
            Model = Facts(line, "model"),
            Spec = [.. Items(line, "spec").Select(item => item.ToString())],
            Options = Facts(line, "options"),
            Data = Facts(line, "data"),
            Versions = Facts(line, "versions"),
        };
    }

    private static TrainingProgress StepOf(LogLine line)
    {
        var step = Integer(line, line.Json, "step");
        var total = Integer(line, line.Json, "total_steps");
        var elapsed = TimeSpan.FromSeconds(Math.Clamp(Number(line, line.Json, "elapsed_seconds"), 0, 1e9));
        return new TrainingProgress
        {
            Step = step,
            TotalSteps = total,
            Epoch = Number(line, line.Json, "epoch"),
            Loss = Number(line, line.Json, "loss"),
            LearningRate = Number(line, line.Json, "learning_rate"),
            GradientNorm = Number(line, line.Json, "gradient_norm"),
            TokensPerSecond = Number(line, line.Json, "tokens_per_second"),
            Elapsed = elapsed,
            Remaining = step > 0 ? elapsed / step * Math.Max(0, total - step) : TimeSpan.Zero,
            Skipped = line.Json.TryGetProperty("skipped", out var skipped) && skipped.ValueKind == JsonValueKind.True,
        };
    }

    private static Dictionary<string, double> Metrics(LogLine line)
    {
        var metrics = Object(line, "metrics");
        return metrics.EnumerateObject().DistinctBy(metric => metric.Name)
            .ToDictionary(metric => metric.Name, metric => Number(line, metrics, metric.Name));
    }

    private static EditMeasurement EditOf(LogLine line, JsonElement edit) =>
        new(
            Text(line, edit, "site"),
            Integer(line, edit, "layer"),
            Text(line, edit, "position"),
            Integer(line, edit, "rows"),
            Number(line, edit, "change"),
            Number(line, edit, "hidden"),
            Number(line, edit, "ratio"));

    private static TrainingSample SampleOf(LogLine line, JsonElement sample)
    {
        return new TrainingSample
        {
            Input = Text(line, sample, "input"),
            Expected = Optional("expected"),
            Before = Optional("before"),
            After = Optional("after"),
        };

        string? Optional(string name) => sample.TryGetProperty(name, out _) ? Text(line, sample, name) : null;
    }

    private static Dictionary<string, string> Facts(LogLine line, string name) =>
        Object(line, name).EnumerateObject().DistinctBy(fact => fact.Name).ToDictionary(fact => fact.Name, fact => fact.Value.ToString());

    private static JsonElement Object(LogLine line, string name) =>
        line.Json.TryGetProperty(name, out var found) && found.ValueKind == JsonValueKind.Object
            ? found
            : throw Missing(line, name, "an object");

    private static IEnumerable<JsonElement> Items(LogLine line, string name) =>
        line.Json.TryGetProperty(name, out var found) && found.ValueKind == JsonValueKind.Array
            ? found.EnumerateArray()
            : throw Missing(line, name, "a list");

    private static string Text(LogLine line, JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var found) && found.ValueKind == JsonValueKind.String
            ? found.GetString()!
            : throw Missing(line, name, "a text");

    private static int Integer(LogLine line, JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var found)
            && found.ValueKind == JsonValueKind.Number && found.TryGetInt32(out var number) && number >= 0
            ? number
            : throw Missing(line, name, "a whole number of 0 or more");

    // What was not finite was written as null.
    private static double Number(LogLine line, JsonElement json, string name) =>
        json.ValueKind != JsonValueKind.Object || !json.TryGetProperty(name, out var found) ? throw Missing(line, name, "a number")
        : found.ValueKind == JsonValueKind.Null ? double.NaN
        : found.ValueKind == JsonValueKind.Number && found.TryGetDouble(out var number) && double.IsFinite(number) ? number
        : throw Missing(line, name, "a number");

    private static InvalidDataException Missing(LogLine line, string name, string expected) =>
        new($"{line.Place}: expected '{name}' to be {expected} in this '{line.Event}'");
}
