using System.Text.Json;
using Expecto;
using Expecto.CSharp;
using Reft.Tests.Monitoring;

namespace Reft.Tests.Cli;

/// <summary><c>reft train --log …</c>, <c>reft report</c> and <c>reft sweep</c>.</summary>
public static class MonitoringCommandTests
{
    /// <summary>Seeing runs, and searching, from the command line.</summary>
    [Tests]
    public static readonly Test Monitoring = Runner.TestList(
        "Command line: monitoring",
        [
            Runner.TestCase("train writes a log, event files, a page and a picture", Train),
            Runner.TestCase("a classification shows labels and accuracy", Classification),
            Runner.TestCase("report makes a page of a log afterwards", Report),
            Runner.TestCase("sweep finds settings, keeps results and goes on", SweepRuns),
            Runner.TestCase("a sweep of a classification gives each candidate a head of its own", SweepOfLabels),
            Runner.TestCase("what is read is not written over", Collisions),
            Runner.TestCase("a space comes from a file too; nonsense is refused", Spaces),
        ]);

    private static string Rows(TemporaryFolder folder, string name, int count)
    {
        File.WriteAllLines(folder.File(name), Enumerable.Range(0, count).Select(i =>
            $$"""{"input_ids": [1, {{30 + i}}, {{60 + (3 * i)}}, {{90 + i}}, 20, 21, 22], "prompt_length": 4}"""));
        return folder.File(name);
    }

    private static void IsPicture(string file) =>
        Check.Same(new byte[] { 0x89, 0x50, 0x4e, 0x47 }, File.ReadAllBytes(file).Take(4), $"the beginning of {Path.GetFileName(file)}");

    private static void Train()
    {
        using var folder = TinyLlama.NewFolder();
        var trained = ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 8), "--eval-data", Rows(folder, "held.jsonl", 5),
            "--output", folder.File("adapter"), "--epochs", "2", "--batch-size", "4", "--log", folder.File("run.jsonl"),
            "--tensorboard", folder.File("board"), "--report", folder.File("run.html"), "--plot", folder.File("run.png"), "--examples", "3").Succeeded();
        Check.That(trained.Errors.Contains("gradient norm", StringComparison.Ordinal) && trained.Errors.Contains(", lr ", StringComparison.Ordinal), $"figures of each step, found: {trained.Errors}");
        var log = TrainingLog.Read(folder.File("run.jsonl"));
        Check.Equal((4, "completed", 3), (log.Steps.Count, log.End, log.Samples.Count), "steps, end and examples");
        Check.Equal(("1 30 60 90", "20 21 22"), (log.Samples[0].Input, log.Samples[0].Expected), "an example");
        Check.That(log.Samples.All(sample => sample is { Before.Length: > 0, After.Length: > 0 }), "expected answers before and after");
        Check.That(log.Steps[0].EditNorms.Count > 0, "expected edits after the first step");
        var page = Pages.Read(File.ReadAllText(folder.File("run.html")));
        Check.That(page.Descendants("td").Any(cell => cell.Value == "1 30 60 90"), "expected the example in the page");
        IsPicture(folder.File("run.png"));
        Check.That(Directory.GetFiles(folder.File("board"), "*tfevents*", SearchOption.AllDirectories).SelectMany(EventFile.Scalars).Any(), "event files");
        ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", folder.File("rows.jsonl"), "--output", folder.File("other"), "--report", folder.Path)
            .FailedWith(1, "--report", "folder");
    }

    private static void Classification()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllLines(folder.File("rows.jsonl"), Enumerable.Range(0, 8).Select(i =>
            $$"""{"input_ids": [1, {{30 + (i % 2)}}, 20], "label": "{{(i % 2 == 0 ? "even" : "odd")}}"}"""));
        ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", folder.File("rows.jsonl"), "--eval-data", folder.File("rows.jsonl"), "--task", "classification",
            "--output", folder.File("adapter"), "--epochs", "1", "--report", folder.File("run.html")).Succeeded();
        var page = Pages.Read(File.ReadAllText(folder.File("run.html")));
        Check.That(page.Descendants("h2").Any(title => title.Value == "Held-out accuracy"), "expected a curve of the accuracy");
        Check.Same(["even", "odd"], page.Descendants("td").Select(cell => cell.Value).Where(text => text is "even" or "odd").Distinct().Order(), "labels");
    }

    private static void Report()
    {
        using var folder = TinyLlama.NewFolder();
        ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 4), "--output", folder.File("adapter"),
            "--epochs", "1", "--log", folder.File("run.jsonl"), "--edit-norms-every", "0", "--examples", "0").Succeeded();
        ReftProcess.Run("report", folder.File("run.jsonl")).Succeeded();
        Pages.Read(File.ReadAllText(folder.File("report.html")));
        ReftProcess.Run("report", folder.File("run.jsonl"), "--output", folder.File("a.html"), "--plot", folder.File("a.png")).Succeeded();
        Check.Equal(File.ReadAllText(folder.File("report.html")), File.ReadAllText(folder.File("a.html")), "the same page");
        IsPicture(folder.File("a.png"));
        File.WriteAllText(folder.File("bad.jsonl"), "{\n{}\n");
        ReftProcess.Run("report", folder.File("bad.jsonl")).FailedWith(1, "bad.jsonl:1");
        ReftProcess.Run("report", folder.File("none.jsonl")).FailedWith(1, "none.jsonl");
    }

    private static void SweepRuns()
    {
        using var folder = TinyLlama.NewFolder();
        string[] sweep =
        [
            "sweep", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 8), "--eval-data", Rows(folder, "held.jsonl", 4),
            "--output", folder.File("sweep"), "--rank", "1,2,200", "--layers", "1;0,2", "--positions", "l1;f2+l2", "--lr", "log:1e-3..1e-2:2", "--tie", "true",
            "--batch-size", "4", "--eta", "4", "--min-budget", "1", "--max-budget", "4", "--json",
        ];
        var first = ReftProcess.Run(sweep).Succeeded();
        var outcome = first.Json.Single();
        var results = outcome.GetProperty("results").EnumerateArray().ToArray();

        // 3 · 2 · 2 · 2 candidates, then a quarter of them.
        Check.Equal(24 + 6, results.Length, "runs");
        Check.That(
            results.Where(run => run.GetProperty("settings").GetProperty("rank").GetString() == "200").All(run => run.GetProperty("value").ValueKind == JsonValueKind.Null),
            "expected a rank beyond the width to fail");
        Check.Equal(4, outcome.GetProperty("best").GetProperty("budget").GetInt32(), "the best's budget");
        Pages.Read(File.ReadAllText(folder.File("sweep/sweep.html")));
        IsPicture(folder.File("sweep/sweep.png"));

        // Seconds and all: what did not fail is read, not run.
        Check.Same(Finished(outcome), Finished(ReftProcess.Run(sweep).Succeeded().Json.Single()), "the outcome of the same command again");
        var refused = ReftProcess.Run([.. sweep, "--seed", "7"]);
        Check.That(
            refused.ExitCode == 1 && refused.Errors.Contains("sweep.json", StringComparison.Ordinal) && refused.Errors.Contains("'fixed'", StringComparison.Ordinal),
            $"expected other settings to be refused, found: {refused.Errors}");

        // What it says is what a run of its own gives.
        var best = outcome.GetProperty("best").GetProperty("settings");
        var trained = ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", folder.File("rows.jsonl"), "--eval-data", folder.File("held.jsonl"), "--output", folder.File("adapter"),
            "--rank", best.GetProperty("rank").GetString()!, "--layers", best.GetProperty("layers").GetString()!, "--positions", best.GetProperty("positions").GetString()!,
            "--lr", best.GetProperty("lr").GetString()!, "--tie", "--batch-size", "4", "--max-steps", "4", "--json").Succeeded().Json.Single();
        Check.Equal(trained.GetProperty("evaluation").GetProperty("after").GetDouble(), outcome.GetProperty("best").GetProperty("value").GetDouble(), "the loss of the best");

        static IEnumerable<string> Finished(JsonElement outcome) =>
            outcome.GetProperty("results").EnumerateArray()
                .Where(run => run.GetProperty("value").ValueKind == JsonValueKind.Number).Select(run => run.GetRawText());
    }

    private static void SweepOfLabels()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllLines(folder.File("rows.jsonl"), Enumerable.Range(0, 8).Select(i =>
            $$"""{"input_ids": [1, {{30 + (i % 2)}}, 20], "label": "{{(i % 2 == 0 ? "even" : "odd")}}"}"""));
        var outcome = ReftProcess.Run(
            "sweep", "--model", TinyLlama.Folder, "--data", folder.File("rows.jsonl"), "--eval-data", folder.File("rows.jsonl"), "--task", "classification",
            "--rank", "1,2", "--output", folder.File("sweep"), "--metric", "accuracy", "--min-budget", "1", "--max-budget", "3", "--json").Succeeded().Json.Single();
        Check.That(
            outcome.GetProperty("results").EnumerateArray().All(run => run.GetProperty("value").ValueKind == JsonValueKind.Number),
            $"expected every candidate to give an accuracy, found {outcome}");
    }

    private static void Collisions()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Rows(folder, "rows.jsonl", 4);
        var before = File.ReadAllText(rows);
        string[] train = ["train", "--model", TinyLlama.Folder, "--data", rows, "--output", folder.File("adapter"), "--max-steps", "1"];
        ReftProcess.Run([.. train, "--log", Path.Combine(folder.Path, "elsewhere", "..", "rows.jsonl")]).FailedWith(1, "--log", "--data");
        ReftProcess.Run([.. train, "--log", folder.File("run"), "--report", folder.File("run")]).FailedWith(1, "--report", "--log");
        Check.Equal(before, File.ReadAllText(rows), "the rows");
    }

    private static void Spaces()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("space.json"), """{"rank": [1, 2], "layers": ["1", "0,2"], "lr": "log:1e-3..1e-2", "option.activation": ["linear", "relu"], "tie": true}""");
        string[] sweep =
        [
            "sweep", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 8), "--eval-data", Rows(folder, "held.jsonl", 4),
            "--output", folder.File("sweep"), "--positions", "l1",
        ];
        var table = ReftProcess.Run([.. sweep, "--space", folder.File("space.json"), "--candidates", "4", "--budget", "epochs", "--min-budget", "1", "--max-budget", "2"]).Succeeded();
        Check.Equal(5, table.Lines.Length, "lines of the table");
        Check.Same(
            ["rank", "layers", "lr", "option.activation", "loss", "epochs", "seconds"],
            table.Lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries),
            "columns");

        ReftProcess.Run(sweep).FailedWith(2, "nothing to search");
        ReftProcess.Run([.. sweep, "--rank", "1,x"]).FailedWith(2, "rank", "'x'");
        ReftProcess.Run([.. sweep, "--rank", "log:1..8"]).FailedWith(2, "rank", "log:1..8");
        ReftProcess.Run([.. sweep, "--lr", "log:1e-3..1e-2"]).FailedWith(1, "lr", "number of points");
        ReftProcess.Run([.. sweep, "--rank", "1,2", "--metric", "accuracy"]).FailedWith(2, "--metric", "loss");
        File.WriteAllText(folder.File("bad.json"), """{"ranks": [1]}""");
        ReftProcess.Run([.. sweep, "--space", folder.File("bad.json")]).FailedWith(2, "'ranks'", "rank");
        File.WriteAllText(folder.File("bad.json"), """{"rank": {"a": 1}}""");
        ReftProcess.Run([.. sweep, "--space", folder.File("bad.json")]).FailedWith(1, "bad.json", "'rank'");
    }
}
