using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;
using Microsoft.Extensions.Logging;

namespace Reft.Tests.Monitoring;

/// <summary>What a run writes down and tells.</summary>
public static class MonitoringTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 2e-2, Epochs = 3, BatchSize = 4, EvaluationData = TinyLlama.Data };

    /// <summary>Seeing a run.</summary>
    [Tests]
    public static readonly Test Monitoring = Runner.TestList(
        "Monitoring",
        [
            Runner.TestCase("the log holds every step, evaluation and edit, and what was run", Log),
            Runner.TestCase("a fresh run replaces an older log", Replaced),
            Runner.TestCase("a torn last line is passed over; other damage is refused by its line", Damaged),
            Runner.TestCase("a resumed run goes on in the same log, without the steps after its checkpoint", ResumedLog),
            Runner.TestCase("a log that cannot be opened is refused before the first step", Unwritable),
            Runner.TestCase("TensorBoard's files are valid and hold the curves", TensorBoard),
            Runner.TestCase("edits are measured when asked, and by hand", Edits),
            Runner.TestCase("activities and metrics reach who listens", Telemetry),
            Runner.TestCase("the application's logger hears of loading, training and generating", Logger),
            Runner.TestCase("the report is one well-formed page, and rows stay text", Report),
            Runner.TestCase("the report of any log is a page: empty, diverged, long", AnyReport),
        ]);

    private static TrainingResult Fit(TrainingOptions options, IProgress<TrainingProgress>? progress = null, ILogger? logger = null, CancellationToken cancel = default)
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec, new ModelOptions { Logger = logger });
        return model.FitAsync(TinyLlama.Data, options, progress, cancel).GetAwaiter().GetResult();
    }

    // Records compare lists by reference.
    private static void SameSteps(IEnumerable<TrainingProgress> expected, IEnumerable<TrainingProgress> found, string what, bool edits = true)
    {
        Check.Same(expected.Select(Figures), found.Select(Figures), what);
        Check.Same(expected.SelectMany(step => step.Evaluation), found.SelectMany(step => step.Evaluation), what + ": evaluations");
        if (edits)
        {
            Check.Same(expected.SelectMany(step => step.EditNorms), found.SelectMany(step => step.EditNorms), what + ": edits");
        }

        static (int, int, double, double, double, double) Figures(TrainingProgress step) =>
            (step.Step, step.TotalSteps, step.Epoch, step.Loss, step.LearningRate, step.GradientNorm);
    }

    private static void Log()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File(Path.Combine("new", "run.jsonl"));
        var result = Fit(Quick with { Logging = new TrainingLogging { JsonLines = path, EditNormsEvery = 5 } });
        var log = TrainingLog.Read(path);
        SameSteps(result.History, log.Steps, "steps");
        SameSteps(result.History, result.Log.Steps, "steps of the result's log");
        Check.Equal("completed", log.End, "the end");
        Check.Equal(3, log.Steps.Count(step => step.Evaluation.Count > 0), "evaluations");
        Check.Same([1, 5, 10, 12], log.Steps.Where(step => step.EditNorms.Count > 0).Select(step => step.Step), "measurements of edits");
        Check.Equal(null, result.LogProblem, "the problem");
        var header = log.Header!;
        Check.Equal(("llama", "16", "16"), (header.Model["family"], header.Data["rows"], header.Data["evaluation_rows"]), "facts");
        Check.Equal(("0.02", "4", "3"), (header.Options["learning_rate"], header.Options["batch_size"], header.Options["epochs"]), "options");
        Check.Equal(2, header.Spec.Count, "placements");
        Check.That(header.Spec[0].Contains("layers.1.block_output: loreft(rank=4) at f2+l2", StringComparison.Ordinal), $"the spec, found {header.Spec[0]}");
        Check.That(header.Versions["libtorch"].Length > 0 && header.Versions["reft"].Length > 0, "versions");
        Check.That(header.Model["fingerprint"].StartsWith("sha256:", StringComparison.Ordinal), $"the fingerprint, found {header.Model["fingerprint"]}");
        foreach (var line in File.ReadLines(path))
        {
            using var json = JsonDocument.Parse(line);
            Check.That(json.RootElement.GetProperty("event").GetString() is { Length: > 0 }, "an event in each line");
        }
    }

    private static void Replaced()
    {
        using var folder = TinyLlama.NewFolder();
        var options = Quick with { Epochs = 1, Logging = new TrainingLogging { JsonLines = folder.File("run.jsonl") } };
        Fit(options with { Epochs = 2 });
        Fit(options);
        Check.Equal(4, TrainingLog.Read(folder.File("run.jsonl")).Steps.Count, "steps of the newer run");
    }

    private static void Damaged()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("run.jsonl");
        Fit(Quick with { Epochs = 1, Logging = new TrainingLogging { JsonLines = path } });
        var lines = File.ReadAllLines(path);
        var expected = TrainingLog.Read(path).Steps.Count;

        File.AppendAllText(path, lines[1][..(lines[1].Length / 2)]);
        Check.Equal(expected, TrainingLog.Read(path).Steps.Count, "steps beside a torn line");
        TrainingLog.AppendSamples(path, [new TrainingSample { Input = "a", After = "b" }]);
        Check.Equal("b", TrainingLog.Read(path).Samples.Single().After, "a sample after a torn line");

        Refused([lines[0], lines[1][..20], .. lines[2..]], "run.jsonl:2", "no JSON");
        Refused([lines[0], """{"step": 3}""", lines[1]], "run.jsonl:2", "'event'");
        Refused([lines[0].Replace("\"format\":1", "\"format\":2", StringComparison.Ordinal)], "run.jsonl:1", "newer version");
        Refused(["""{"event": "step", "step": -1}"""], "run.jsonl:1", "'step'");
        Refused(["""{"event": "step", "step": 1, "total_steps": 2, "elapsed_seconds": 1, "epoch": "x"}"""], "run.jsonl:1", "'epoch'");
        Refused(["""{"event": "evaluation", "step": 1, "metrics": {}}"""], "run.jsonl:1", "step 1");
        Refused(["""{"event": "examples", "examples": [3]}"""], "run.jsonl:1", "'input'");
        Check.Throws<FileNotFoundException>(() => TrainingLog.Read(folder.File("none")), "none");

        void Refused(string[] content, params string[] parts)
        {
            File.WriteAllLines(path, content);
            Check.Throws<InvalidDataException>(() => TrainingLog.Read(path), parts);
        }
    }

    private static void ResumedLog()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("run.jsonl");
        var whole = Fit(Quick with { Logging = new TrainingLogging { JsonLines = folder.File("whole.jsonl"), EditNormsEvery = 4 } });
        var options = Quick with
        {
            Logging = new TrainingLogging { JsonLines = path, EditNormsEvery = 4 },
            Checkpoints = new TrainingCheckpoints(folder.File("checkpoints")) { Every = 100, Resume = true },
        };
        using var cancel = new CancellationTokenSource();
        var stopped = Fit(options, new Told(step => { if (step.Step == 7) { cancel.Cancel(); } }), cancel: cancel.Token);
        Check.Equal("cancelled", TrainingLog.Read(path).End, "the end of the first part");
        Check.Equal(7, stopped.Log.Steps.Count, "its steps");

        // As if the process had gone on after its last checkpoint, and had then been killed while it wrote.
        var step7 = File.ReadLines(path).Last(line => line.StartsWith("""{"event":"step","step":7,""", StringComparison.Ordinal));
        File.AppendAllLines(path, [step7.Replace("\"step\":7,", "\"step\":8,", StringComparison.Ordinal).Replace("\"loss\":", "\"loss\":9", StringComparison.Ordinal)]);
        File.AppendAllText(path, step7[..30]);

        var resumed = Fit(options);
        var log = TrainingLog.Read(path);
        Check.Equal(7, resumed.Resumed?.Step, "the step that it resumed from");
        SameSteps(whole.History, log.Steps, "steps of both parts");
        SameSteps(whole.History, resumed.Log.Steps, "steps of the result's log");
        Check.Same([7], log.Resumed, "where it was resumed");
        Check.Equal("completed", log.End, "the end");
        Check.Equal(1, File.ReadLines(path).Count(line => line.Contains("\"event\":\"end\"", StringComparison.Ordinal)), "ends");
        Check.Equal(1, File.ReadLines(path).Count(line => line.Contains("\"event\":\"run\"", StringComparison.Ordinal)), "headers");

        // Without the file, what the checkpoint knows of the steps is written again.
        File.Delete(path);
        Fit(options);
        SameSteps(whole.History, TrainingLog.Read(path).Steps, "steps of a log that was lost", edits: false);
    }

    private static void Unwritable()
    {
        using var folder = TinyLlama.NewFolder();
        var steps = 0;
        Check.Throws<IOException>(
            () => Fit(Quick with { Logging = new TrainingLogging { JsonLines = folder.Path } }, new Told(_ => steps++)), "folder");
        Check.Equal(0, steps, "steps");
        Check.Throws<ArgumentException>(() => Fit(Quick with { Logging = new TrainingLogging { EditNormsEvery = 0 } }), "EditNormsEvery");
    }

    private static void TensorBoard()
    {
        using var folder = TinyLlama.NewFolder();
        var board = folder.File("board");
        var result = Fit(Quick with { Logging = new TrainingLogging { TensorBoard = board, EditNormsEvery = 6 } });
        var scalars = Directory.GetFiles(board, "*tfevents*", SearchOption.AllDirectories).SelectMany(EventFile.Scalars).ToArray();
        Curve("train/loss", result.History.Select(step => (step.Step, step.Loss)));
        Curve("train/learning_rate", result.History.Select(step => (step.Step, step.LearningRate)));
        Curve("evaluation/loss", result.History.Where(step => step.EvaluationLoss is not null).Select(step => (step.Step, step.EvaluationLoss!.Value)));
        Check.Same([1, 6, 12], Of("edits/layers.2.block_output").Select(scalar => scalar.Step), "steps of edits");

        IEnumerable<(long Step, float Value)> Of(string tag) =>
            scalars.Where(scalar => scalar.Tag == tag).Select(scalar => (scalar.Step, scalar.Value));

        void Curve(string tag, IEnumerable<(int Step, double Value)> expected) =>
            Check.Same(expected.Select(point => ((long)point.Step, (float)point.Value)), Of(tag), tag);
    }

    private static void Edits()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var options = Quick with { Logging = new TrainingLogging { EditNormsEvery = 100, EditNormRows = 5 } };
        var result = model.FitAsync(TinyLlama.Data, options).GetAwaiter().GetResult();
        var last = result.History[^1].EditNorms;
        Check.Same(
            from layer in new[] { 1, 2 }
            from position in new[] { "f1", "f2", "l2", "l1" }
            select (layer, position, 5),
            last.Select(edit => (edit.Layer, edit.Position, edit.Rows)),
            "sites and positions");
        var rows = TrainingData.FromRows(TinyLlama.Data.Rows.Take(5));
        Check.Same(model.MeasureEdits(rows, 4), last, "the same by hand");
        Check.That(last.All(edit => edit.Ratio > 0 && edit.Change > 0 && edit.Hidden > 0), "norms");

        var silent = model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        Check.That(silent.History.All(step => step.EditNorms.Count == 0), "expected no measurement that nobody asked for");
        Check.Throws<InvalidOperationException>(() => model.Detach().MeasureEdits(rows), "nothing is attached");
    }

    private static void Telemetry()
    {
        var numbers = new List<(string Name, double Value, string Tags)>();
        using var meter = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == ReftTelemetry.MeterName)
            {
                listener.EnableMeasurementEvents(instrument);
            }
        }
        };
        meter.SetMeasurementEventCallback<double>((instrument, value, tags, _) => numbers.Add((instrument.Name, value, Shown(tags))));
        meter.SetMeasurementEventCallback<long>((instrument, value, tags, _) => numbers.Add((instrument.Name, value, Shown(tags))));
        meter.Start();
        var activities = new List<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == ReftTelemetry.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activities.Add,
        };
        ActivitySource.AddActivityListener(listener);

        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var result = model.FitAsync(TinyLlama.Data, Quick).GetAwaiter().GetResult();
        var said = model.Generate([1, 2, 3], new GenerationOptions { MaxNewTokens = 5, IgnoreEos = true });

        Check.Same(result.History.Select(step => step.Loss), Of("reft.training.loss"), "losses");
        Check.Same(result.History.Select(step => step.LearningRate), Of("reft.training.learning_rate"), "learning rates");
        Check.Equal(12, Of("reft.training.step.duration").Count(seconds => seconds > 0), "durations of steps");

        Check.Equal(TinyLlama.Data.Rows.Sum(row => row.InputIds!.Count) * 3, Of("reft.training.tokens").Sum(), "tokens");
        Check.Same(
            result.History.Where(step => step.EvaluationLoss is not null).Select(step => step.EvaluationLoss!.Value),
            numbers.Where(number => number.Name == "reft.evaluation.result" && number.Tags.Contains("metric=loss", StringComparison.Ordinal)).Select(number => number.Value),
            "evaluations");
        Check.Same([(double)said.TokenIds.Count], Of("reft.generation.tokens"), "generated tokens");
        Check.Equal(1, Of("reft.model.load.duration").Count(), "loads");
        Check.That(numbers.All(number => number.Tags.Contains("reft.model.family=llama", StringComparison.Ordinal)), "the family in each tag");
        Check.Same(
            ["reft.model.load", "reft.evaluate", "reft.evaluate", "reft.evaluate", "reft.train", "reft.generate"],
            activities.Select(activity => activity.OperationName),
            "activities");
        var train = activities.Single(activity => activity.OperationName == "reft.train");
        Check.Equal("completed", train.GetTagItem("reft.training.end"), "the end");
        Check.That(activities[1].ParentId == train.Id, "expected an evaluation to be part of the training");

        IEnumerable<double> Of(string name) => numbers.Where(number => number.Name == name).Select(number => number.Value);

        static string Shown(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var text = "";
            foreach (var tag in tags)
            {
                text += $"{tag.Key}={tag.Value} ";
            }

            return text;
        }
    }

    private static void Logger()
    {
        var logger = new Collected();
        var result = Fit(Quick, logger: logger);
        Check.Equal(1, logger.Lines.Count(line => line.StartsWith("Information: Loaded the llama model", StringComparison.Ordinal)), "loads");
        Check.Equal(1, logger.Lines.Count(line => line.StartsWith("Information: Training 2064 parameters on 16 rows", StringComparison.Ordinal)), "beginnings");
        Check.Equal(12, logger.Lines.Count(line => line.StartsWith("Debug: Step ", StringComparison.Ordinal)), "steps");
        Check.Equal(3, logger.Lines.Count(line => line.StartsWith("Information: Step ", StringComparison.Ordinal) && line.Contains("held-out loss", StringComparison.Ordinal)), "evaluations");
        Check.Equal(1, logger.Lines.Count(line => line.StartsWith("Information: Training ended (completed) after step 12", StringComparison.Ordinal)), "ends");
        Check.Equal(12, result.History.Count, "steps taken");

        var failing = new Collected();
        Check.Throws<InvalidOperationException>(() => Fit(Quick, new Told(_ => throw new InvalidOperationException("stop here")), logger: failing), "stop here");
        Check.Equal(1, failing.Lines.Count(line => line.StartsWith("Error: Training failed after step 1", StringComparison.Ordinal)), "failures");
    }

    private static void Report()
    {
        const string Evil = "<script>alert(1)</script> & \"</td>\" ]]> \u0000\u001b\ud800 https://example.org/x.js";
        using var folder = TinyLlama.NewFolder();
        var result = Fit(Quick with { Logging = new TrainingLogging { EditNormsEvery = 4 } });
        var log = result.Log with
        {
            Samples = [new TrainingSample { Input = Evil, Expected = "yes", Before = "no 🙂", After = null }],
            Header = result.Log.Header! with { Model = new Dictionary<string, string> { [Evil] = Evil } },
            Steps = [.. result.Log.Steps.Select(step => step with { Evaluation = step.Evaluation.Append(new(Evil, 0.5)).ToDictionary() })],
        };
        TrainingReport.WriteHtml(folder.File("report.html"), log);
        var page = Pages.Read(File.ReadAllText(folder.File("report.html")));
        var cells = page.Descendants("td").Select(cell => cell.Value).ToArray();
        Check.That(cells.Contains("<script>alert(1)</script> & \"</td>\" ]]> \ufffd\ufffd\ufffd https://example.org/x.js"), "expected the row as text");
        Check.That(cells.Contains("no 🙂"), "expected characters outside the basic plane as they are");
        var titles = page.Descendants("h2").Select(title => title.Value).ToArray();
        foreach (var title in new[] { "Loss", "Learning rate", "Gradient norm, before clipping", "Before and after", "What was run" })
        {
            Check.That(titles.Contains(title), $"expected '{title}' among {string.Join(", ", titles)}");
        }

        var map = page.Descendants("svg").Single(svg => svg.Descendants("rect").Any());
        Check.Equal(2 * 4, map.Descendants("rect").Count(), "cells of the heat map");
        Check.Same(["f1", "f2", "l2", "l1", "layers.1.block_output", "layers.2.block_output"], map.Elements("text").Select(text => text.Value), "its labels");
        Check.That(page.Descendants("svg").All(svg => svg.Attribute("role")?.Value == "img" && svg.Attribute("aria-label")?.Value.Length > 0), "a label for each picture");
        Check.Same(Enumerable.Repeat(12, 1), page.Descendants("polyline").Take(1).Select(line => line.Attribute("points")!.Value.Split(' ').Length), "points of the loss");
    }

    private static void AnyReport()
    {
        Pages.Read(TrainingReport.ToHtml(new TrainingLog()));
        var step = new TrainingProgress
        {
            Step = 1,
            TotalSteps = 5000,
            Epoch = 0,
            Loss = double.NaN,
            LearningRate = 0,
            GradientNorm = double.PositiveInfinity,
            TokensPerSecond = 1,
            Elapsed = TimeSpan.Zero,
            Remaining = TimeSpan.Zero,
        };
        Pages.Read(TrainingReport.ToHtml(new TrainingLog { Steps = [step] }));
        Pages.Read(TrainingReport.ToHtml(new TrainingLog { Steps = [step with { Loss = -1e308 }, step with { Step = 2, Loss = 1e308, GradientNorm = 1e-320 }] }));

        TrainingProgress[] many = [.. Enumerable.Range(1, 5000).Select(i => step with { Step = i, Loss = i == 2500 ? 99 : i % 7 })];
        var loss = Pages.Read(TrainingReport.ToHtml(new TrainingLog { Steps = many })).Descendants("polyline").First();
        var heights = loss.Attribute("points")!.Value.Split(' ').Select(point => double.Parse(point.Split(',')[1], System.Globalization.CultureInfo.InvariantCulture)).ToArray();
        Check.That(heights.Length <= 1000, $"expected a picture of bounded size, found {heights.Length} points");
        Check.That(heights.Min() < 20, $"expected the peak to be kept, found {heights.Min()} at the top");
    }

    private sealed class Told(Action<TrainingProgress> tell) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => tell(value);
    }

    private sealed class Collected : ILogger
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Add($"{logLevel}: {formatter(state, exception)}");
    }
}
