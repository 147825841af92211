using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft sweep</c>: from a space of settings to the best of them.</summary>
internal static class SweepCommand
{
    private const string Steps = "steps";

    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Data = Values.Required("--data", "FILE.jsonl", "Rows to train on, as for `reft train`.");
    private static readonly Option<string> EvalData = Values.Required(
        "--eval-data", "FILE.jsonl", "Held-out rows, by which candidates are compared.");

    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where results are kept. The same command goes on with what is there: finished runs are not repeated.");

    private static readonly Option<int?> Candidates = Values.Optional(
        "--candidates", "N", "Draw so many candidates at random; every combination, a grid, where it is not given.", Values.IntegerFrom(1));

    private static readonly Option<int> Eta = Values.Option(
        "--eta", "N", "Of the candidates of a rung the best 1/N go on, with N times the budget.", 3, Values.IntegerFrom(2));

    private static readonly Option<string?> Unit = UnitOption();

    private static readonly Option<int> MinBudget = Values.Option("--min-budget", "N", "The budget of the first rung.", 20, Values.IntegerFrom(1));
    private static readonly Option<int> MaxBudget = Values.Option("--max-budget", "N", "The budget of the last one.", 180, Values.IntegerFrom(1));
    private static readonly Option<string?> Metric = MetricOption();
    private static readonly Option<int?> MaxLength = Values.Optional(
        "--max-length", "N", "Longer rows are cut to N tokens, from their end; the model's context where it is not given.", Values.IntegerFrom(2));

    private static readonly Option<long> Seed = Values.Option(
        "--seed", "N", "The seed of candidates, of fresh parameters and of the order of rows.", 42, Values.Seed);

    private static readonly Option<bool> Json = CommonOptions.Json("the outcome");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "sweep",
            "Search settings by successive halving: many candidates get a small budget, the best of them more.",
            [
                .. Model.Which, Data, EvalData, Output, TaskOptions.Task, TaskOptions.Labels, TaskOptions.Head, .. SweepSettings.Options,
                Candidates, Eta, Unit, MinBudget, MaxBudget, Metric, MaxLength, Seed, .. Model.How, Json,
            ]);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var signals = new StopSignals();
        IReadOnlyList<SweepAxis> axes;
        IReadOnlyDictionary<string, string> same;
        try
        {
            (axes, same) = SweepSettings.Read(parsed);
        }
        catch (ArgumentException e)
        {
            return Failure.Say(Values.MessageOf(e), ExitCode.Usage);
        }

        if (axes.Count == 0)
        {
            return Failure.Say("there is nothing to search: give a setting several values, e.g. --rank 1,2,4", ExitCode.Usage);
        }

        var (data, heldOut, seed) = (parsed.GetRequiredValue(Data), parsed.GetRequiredValue(EvalData), parsed.GetValue(Seed));
        var metric = parsed.GetValue(Metric)!;
        var task = TaskOptions.Read(parsed, data, heldOut, seed);
        if (!task.Metrics.Contains(metric))
        {
            return Failure.Say($"--metric: expected one of {string.Join(", ", task.Metrics)}, which this task gives, found {metric}", ExitCode.Usage);
        }

        var folder = await Model.FolderAsync(parsed, signals.Token).ConfigureAwait(false);
        using var model = ReftModel.Load(folder, Model.Options(parsed) with { Seed = seed });
        var path = parsed.GetRequiredValue(Output);
        var options = new SweepOptions
        {
            Axes = axes,
            Candidates = parsed.GetValue(Candidates),
            Eta = parsed.GetValue(Eta),
            MinBudget = parsed.GetValue(MinBudget),
            MaxBudget = parsed.GetValue(MaxBudget),
            HigherIsBetter = metric != "loss",
            Seed = seed,
            Folder = path,
            Fixed = new Dictionary<string, string>(same)
            {
                ["model"] = $"{Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)))}, {model.Config.Family}, {model.Config.ParameterCount} parameters, {model.Config.Dtype}, {model.Config.Weights}, {model.Config.Fingerprint}",
                ["data"] = HashOf(data),
                ["eval-data"] = HashOf(heldOut),
                ["task"] = string.Join(' ', TaskOptions.Task.Name, parsed.GetValue(TaskOptions.Task), parsed.GetValue(TaskOptions.Labels), parsed.GetValue(TaskOptions.Head)).TrimEnd(),
                ["budget"] = parsed.GetValue(Unit)!,
                ["metric"] = metric,
                ["max-length"] = parsed.GetValue(MaxLength)?.ToString(CultureInfo.InvariantCulture) ?? "context",
                ["seed"] = seed.ToString(CultureInfo.InvariantCulture),
            },
        };
        var plan = Sweep.Plan(options);
        var total = plan.Sum(rung => rung.Runs);
        Terminal.Say(
            $"{plan[0].Runs} candidates, {total} runs: {string.Join(", ", plan.Select(rung => $"{rung.Runs} of {rung.Budget} {parsed.GetValue(Unit)}"))}");
        SweepResult result;
        try
        {
            result = await Sweep.RunAsync(
                options,
                (trial, cancel) => TryAsync(parsed, model, task, trial, same, metric, cancel),
                new Told(total, metric, parsed.GetValue(Unit)!),
                signals.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            return Failure.Say($"stopped; the same command goes on with the results in {path}", signals.RequestedExit);
        }

        SweepReport.WriteHtml(Path.Combine(path, "sweep.html"), result, metric, parsed.GetValue(Unit)!);
        if (result.Best is null)
        {
            return Failure.Say(
                $"every run of the last rung failed, e.g. {result.Results[^1].Problem}", ExitCode.Failure);
        }

        SweepPicture.Save(Path.Combine(path, "sweep.png"), SweepPlot.Of(result, metric));
        Terminal.Say($"wrote {Path.Combine(path, "sweep.html")} and sweep.png");
        if (parsed.GetValue(Json))
        {
            output.JsonLine(json => WriteJson(json, result, metric));
        }
        else
        {
            output.Text(SweepTable.Of(result, metric, parsed.GetValue(Unit)!));
        }

        return ExitCode.Success;
    }

    private static async Task<double> TryAsync(
        ParseResult parsed,
        ReftModel model,
        TrainingTask task,
        SweepTrial trial,
        IReadOnlyDictionary<string, string> same,
        string metric,
        CancellationToken cancel)
    {
        var settings = new Dictionary<string, string>(same);
        foreach (var (name, value) in trial.Settings)
        {
            settings[name] = value;
        }

        var isSteps = parsed.GetValue(Unit) == Steps;
        var seed = parsed.GetValue(Seed);
        model.Attach(SweepSettings.Spec(settings), seed);
        task.Prepare(model);
        var options = SweepSettings.Training(settings) with
        {
            MaxSteps = isSteps ? trial.Budget : null,
            Epochs = isSteps ? 1 : trial.Budget,
            // The end alone counts: it ends with an evaluation in any case.
            EvaluateEvery = isSteps ? trial.Budget : null,
            EvaluateEveryEpochs = isSteps ? null : trial.Budget,
            MaxLength = parsed.GetValue(MaxLength),
            Seed = seed,
        };
        var result = await task.FitAsync(model, options, new Quiet(), cancel).ConfigureAwait(false);
        if (result.Cancelled)
        {
            throw new OperationCanceledException(cancel);
        }

        return result.History[^1].Evaluation[metric];
    }

    private static string HashOf(string file)
    {
        using var stream = File.OpenRead(file);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static void WriteJson(Utf8JsonWriter json, SweepResult result, string metric)
    {
        json.WriteString("metric", metric);
        json.WritePropertyName("best");
        Write(result.Best!);
        json.WriteStartArray("results");
        foreach (var run in result.Results)
        {
            Write(run);
        }

        json.WriteEndArray();

        void Write(SweepTrialResult run)
        {
            json.WriteStartObject();
            json.WriteNumber("candidate", run.Trial.Candidate);
            json.WriteNumber("rung", run.Trial.Rung);
            json.WriteNumber("budget", run.Trial.Budget);
            json.WriteStartObject("settings");
            foreach (var (name, value) in run.Trial.Settings)
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
            json.WriteNumberOrNull("value", run.Value);
            json.WriteNumber("seconds", run.Duration.TotalSeconds);
            json.WriteString("problem", run.Problem);
            json.WriteEndObject();
        }
    }

    private static Option<string?> UnitOption()
    {
        var option = Values.Text("--budget", "steps|epochs", "What a budget counts.");
        option.DefaultValueFactory = _ => Steps;
        option.AcceptOnlyFromAmong(Steps, "epochs");
        return option;
    }

    private static Option<string?> MetricOption()
    {
        var option = Values.Text(
            "--metric", "loss|accuracy|f1|matthews|pearson|spearman", "What is compared, of the held-out rows: the smallest loss, or the greatest of the others.");
        option.DefaultValueFactory = _ => "loss";
        option.AcceptOnlyFromAmong("loss", "accuracy", "f1", "matthews", "pearson", "spearman");
        return option;
    }

    private sealed class Quiet : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
        }
    }

    private sealed class Told(int total, string metric, string unit) : IProgress<SweepTrialResult>
    {
        private int _done;

        public void Report(SweepTrialResult value)
        {
            var settings = string.Join(", ", value.Trial.Settings.Select(setting => $"{setting.Key} {setting.Value}"));
            var outcome = value.Problem ?? string.Create(
                CultureInfo.InvariantCulture, $"{metric} {value.Value:0.0000} in {value.Duration.TotalSeconds:0.0} s");
            Terminal.Say($"run {++_done}/{total}, {value.Trial.Budget} {unit}: {settings}: {outcome}");
        }
    }
}
