using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>
/// The file of a training log. Each event is one write of a whole line: a process that is killed leaves at most one torn line,
/// the last, which readers pass over.
/// </summary>
internal sealed class TrainingLogWriter : IDisposable
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly FileStream _stream;

    private TrainingLogWriter(FileStream stream) => _stream = stream;

    /// <summary>Opens a log to write on in it.</summary>
    /// <param name="path">The file; its folder is made if need be.</param>
    /// <param name="fromStep">
    /// The last step that stays: what the file says of later ones, and of the run's end, is dropped. 0 begins a new log in the
    /// place of an older one.
    /// </param>
    /// <exception cref="InvalidDataException">The file is not a log.</exception>
    public static TrainingLogWriter Open(string path, int fromStep)
    {
        var full = Path.GetFullPath(path);
        if (Directory.Exists(full))
        {
            throw new IOException($"expected a file for the training log, found the folder {path}");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        if (fromStep > 0 && File.Exists(full))
        {
            Keep(full, fromStep);
        }

        var mode = fromStep > 0 ? FileMode.Append : FileMode.Create;
        return new TrainingLogWriter(new FileStream(full, mode, FileAccess.Write, FileShare.Read, bufferSize: 0));
    }

    /// <summary>Whether nothing is in it yet.</summary>
    public bool IsEmpty => _stream.Length == 0;

    public void Header(TrainingLogHeader header) => Line("run", json =>
    {
        json.WriteNumber("format", TrainingLogReader.Format);
        json.WriteString("started", header.Started);
        Facts(json, "model", header.Model);
        json.WriteStartArray("spec");
        foreach (var line in header.Spec)
        {
            json.WriteStringValue(line);
        }

        json.WriteEndArray();
        Facts(json, "options", header.Options);
        Facts(json, "data", header.Data);
        Facts(json, "versions", header.Versions);
    });

    public void Step(TrainingProgress step)
    {
        Line("step", json =>
        {
            json.WriteNumber("step", step.Step);
            json.WriteNumber("total_steps", step.TotalSteps);
            Number(json, "epoch", step.Epoch);
            Number(json, "loss", step.Loss);
            Number(json, "learning_rate", step.LearningRate);
            Number(json, "gradient_norm", step.GradientNorm);
            Number(json, "tokens_per_second", step.TokensPerSecond);
            Number(json, "elapsed_seconds", step.Elapsed.TotalSeconds);
            if (step.Skipped)
            {
                json.WriteBoolean("skipped", true);
            }
        });
        if (step.Evaluation.Count > 0)
        {
            Line("evaluation", json =>
            {
                json.WriteNumber("step", step.Step);
                json.WriteStartObject("metrics");
                foreach (var (name, value) in step.Evaluation)
                {
                    Number(json, name, value);
                }

                json.WriteEndObject();
            });
            _stream.Flush(flushToDisk: true);
        }

        if (step.EditNorms.Count > 0)
        {
            Line("edits", json =>
            {
                json.WriteNumber("step", step.Step);
                json.WriteStartArray("edits");
                foreach (var edit in step.EditNorms)
                {
                    json.WriteStartObject();
                    json.WriteString("site", edit.Site);
                    json.WriteNumber("layer", edit.Layer);
                    json.WriteString("position", edit.Position);
                    json.WriteNumber("rows", edit.Rows);
                    Number(json, "change", edit.Change);
                    Number(json, "hidden", edit.Hidden);
                    Number(json, "ratio", edit.Ratio);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
        }
    }

    public void Resumed(int step) => Line("resumed", json =>
    {
        json.WriteNumber("step", step);
        json.WriteString("time", DateTimeOffset.UtcNow);
    });

    public void End(string reason, int step, TimeSpan elapsed)
    {
        Line("end", json =>
        {
            json.WriteString("reason", reason);
            json.WriteNumber("step", step);
            Number(json, "elapsed_seconds", elapsed.TotalSeconds);
        });
        _stream.Flush(flushToDisk: true);
    }

    public void Samples(IReadOnlyList<TrainingSample> samples) => Line("examples", json =>
    {
        json.WriteStartArray("examples");
        foreach (var sample in samples)
        {
            json.WriteStartObject();
            json.WriteString("input", sample.Input);
            Text("expected", sample.Expected);
            Text("before", sample.Before);
            Text("after", sample.After);
            json.WriteEndObject();

            void Text(string name, string? text)
            {
                if (text is not null)
                {
                    json.WriteString(name, text);
                }
            }
        }

        json.WriteEndArray();
    });

    public void Dispose() => _stream.Dispose();

    private static void Keep(string path, int fromStep)
    {
        var kept = TrainingLogReader.Lines(path).Where(line => Stays(line, fromStep)).Select(line => line.Text).ToArray();
        Action<Stream> write = stream =>
        {
            foreach (var text in kept)
            {
                stream.Write(System.Text.Encoding.UTF8.GetBytes(text + "\n"));
            }
        };
        Core.AtomicFile.write(path, write.ToFSharpFunc());
    }

    // Examples are appended to a run that has ended, and then everything stays.
    private static bool Stays(LogLine line, int fromStep) =>
        fromStep == int.MaxValue
        || (line.Event is not ("end" or "examples")
            && !(line.Json.TryGetProperty("step", out var step) && step.TryGetInt32(out var number) && number > fromStep));

    private static void Facts(Utf8JsonWriter json, string name, IReadOnlyDictionary<string, string> facts)
    {
        json.WriteStartObject(name);
        foreach (var (key, value) in facts)
        {
            json.WriteString(key, value);
        }

        json.WriteEndObject();
    }

    // JSON has no word for what is not a number.
    private static void Number(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private void Line(string name, Action<Utf8JsonWriter> fields)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line, Compact))
        {
            json.WriteStartObject();
            json.WriteString("event", name);
            fields(json);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        _stream.Write(line.WrittenSpan);
    }
}
