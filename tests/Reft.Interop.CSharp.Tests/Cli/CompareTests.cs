using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary>Tunings on the command line, and <c>reft compare</c>.</summary>
public static class CompareTests
{
    /// <summary>Baselines on the command line.</summary>
    [Tests]
    public static readonly Test Baselines = Runner.TestList(
        "Baselines on the command line",
        [
            Runner.TestCase("train takes every method, and joined ones", TrainsEveryMethod),
            Runner.TestCase("LoRA is saved in peft's format and merged", Exports),
            Runner.TestCase("compare runs methods over seeds, and goes on where it stopped", Compares),
            Runner.TestCase("compare with labels", ComparesLabels),
            Runner.TestCase("wrong methods are refused before anything is run", Refusals),
        ]);

    private static string Rows(TemporaryFolder folder, string name, int count)
    {
        var path = folder.File(name);
        File.WriteAllLines(path, Enumerable.Range(0, count).Select(i =>
            $$"""{"input_ids": [1, {{30 + i}}, {{60 + i}}, 20, 21], "labels": [-100, -100, -100, 20, 21]}"""));
        return path;
    }

    private static void TrainsEveryMethod()
    {
        using var folder = TinyLlama.NewFolder();
        var adapter = folder.File("adapter");
        string[] train =
        [
            "train", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 4), "--output", adapter,
            "--layers", "1", "--positions", "l1", "--epochs", "1", "--json",
        ];
        Check.Equal("lora(rank=8, alpha=16)", Trained("--method", "lora").Tuning, "its usual rank");
        Check.Equal(
            "lora(rank=2, alpha=32, modules=q_proj,v_proj)",
            Trained("--method", "lora", "--rank", "2", "--option", "alpha=32", "--option", "modules=q_proj,v_proj").Tuning,
            "its options");
        Check.Equal("prefix(length=3)", Trained("--method", "prefix:length=3").Tuning, "prefix");
        Check.Equal(8, Trained("--method", "adapters:rank=2").Placements.Count, "two adapters a layer");
        Check.Equal(4, Trained("--method", "adapters:rank=2:after=mlp").Placements.Count, "one adapter a layer");
        Check.Equal(
            "dropout(0.1) (loreft(rank=2))", Trained("--method", "loreft:rank=2:dropout=0.1").Placements.Single().Intervention, "dropout");
        var both = Trained("--method", "loreft:rank=2+lora:rank=4:lr=1e-4");
        Check.Equal("loreft(rank=2)", both.Placements.Single().Intervention, "LoReFT");
        Check.Equal("lora(rank=4, alpha=8)", both.Tuning, "beside LoRA");
        Check.That(
            ReftProcess.Run("inspect", adapter).Succeeded().Output.Contains("lora(rank=4, alpha=8)", StringComparison.Ordinal),
            "inspect names the tuning");
        Check.Equal(
            4, ReftProcess.Run("score", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", Rows(folder, "s.jsonl", 4), "--json")
                .Succeeded().Json.Count, "scored rows");

        AdapterInfo Trained(params string[] options)
        {
            ReftProcess.Run([.. train, .. options]).Succeeded();
            return AdapterInfo.Read(adapter);
        }
    }

    private static void Exports()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Rows(folder, "rows.jsonl", 4);
        ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", rows, "--output", folder.File("adapter"), "--method", "lora:rank=2",
            "--epochs", "1", "--peft-output", folder.File("peft"), "--model-output", folder.File("merged")).Succeeded();
        var adapter = Losses("--model", TinyLlama.Folder, "--adapter", folder.File("adapter"));
        var peft = Losses("--model", TinyLlama.Folder, "--lora", folder.File("peft"));
        var merged = Losses("--model", folder.File("merged"));
        foreach (var (expected, beside, within) in adapter.Zip(peft, merged))
        {
            Check.That(
                Math.Abs(expected - beside) < 1e-4 && Math.Abs(expected - within) < 1e-4,
                $"expected the loss {expected}, found {beside} and {within}");
        }

        double[] Losses(params string[] which) =>
            [.. ReftProcess.Run(["score", "--input", rows, "--json", .. which]).Succeeded().Json.Select(row => row.GetProperty("loss").GetDouble())];
    }

    private static string[] Compare(TemporaryFolder folder, string methods, string seeds) =>
    [
        "compare", "--model", TinyLlama.Folder, "--data", Rows(folder, "rows.jsonl", 8), "--eval-data", Rows(folder, "held.jsonl", 3),
        "--methods", methods, "--seeds", seeds, "--epochs", "1", "--batch-size", "4", "--output", folder.File("runs"),
    ];

    private static void Compares()
    {
        using var folder = TinyLlama.NewFolder();
        var first = ReftProcess.Run([.. Compare(folder, "loreft:rank=2,lora:rank=2:lr=1e-2", "1,2"), "--json"]).Succeeded();
        var methods = first.Json.Single().GetProperty("methods").EnumerateArray().ToArray();
        Check.Same(["loreft:rank=2", "lora:rank=2:lr=1e-2"], methods.Select(method => method.GetProperty("method").GetString()!), "methods");
        foreach (var method in methods)
        {
            double[] losses = [.. method.GetProperty("runs").EnumerateArray().Select(run => run.GetProperty("loss").GetDouble())];
            var mean = (losses[0] + losses[1]) / 2;
            Near(mean, method.GetProperty("loss").GetProperty("mean").GetDouble(), "mean");
            Near(Math.Abs(losses[0] - losses[1]) / Math.Sqrt(2), method.GetProperty("loss").GetProperty("deviation").GetDouble(), "deviation");
            Check.That(losses[0] != losses[1], "seeds should differ");
            Check.That(method.GetProperty("peak_memory_bytes").GetProperty("mean").GetDouble() > 1e7, "memory");
        }

        // The runs of the first command are taken over; those of a new seed are run.
        var second = ReftProcess.Run(Compare(folder, "loreft:rank=2,lora:rank=2:lr=1e-2", "1,2,3")).Succeeded();
        Check.Equal(4, Count(second.Errors, "from an earlier run"), "runs taken over");
        Check.Equal(3, second.Lines.Length, "a heading and two methods");
        Check.That(second.Lines[1].StartsWith("loreft:rank=2 ", StringComparison.Ordinal) && second.Lines[1].Contains('±'), second.Lines[1]);
        Check.Equal(6, Directory.GetFiles(folder.File("runs"), "*-seed*.json").Length, "results");
        Check.Equal(0, Directory.GetDirectories(folder.File("runs")).Length, "no adapter is kept");

        // Other options, other data or a damaged result: the run is made again.
        Check.Equal(0, Count(ReftProcess.Run([.. Compare(folder, "loreft:rank=2", "1"), "--lr", "1e-2"]).Succeeded().Errors, "earlier"), "options");
        Check.Equal(1, Count(ReftProcess.Run([.. Compare(folder, "loreft:rank=2", "1"), "--lr", "1e-2"]).Succeeded().Errors, "earlier"), "the same");
        File.WriteAllText(Directory.GetFiles(folder.File("runs"), "loreft*-seed1.json").Single(), "{");
        Check.Equal(1, Count(ReftProcess.Run([.. Compare(folder, "loreft:rank=2", "1"), "--lr", "1e-2"]).Succeeded().Errors, "damaged"), "damaged");

        static int Count(string text, string part) => text.Split(part).Length - 1;

        static void Near(double expected, double found, string what) =>
            Check.That(Math.Abs(expected - found) < 1e-9, $"{what}: expected {expected}, found {found}");
    }

    private static void ComparesLabels()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = folder.File("labelled.jsonl");
        File.WriteAllLines(rows, Enumerable.Range(0, 12).Select(i => JsonSerializer.Serialize(
            new { input_ids = new[] { 1, 30 + i, 200 + (i % 2) }, label = i % 2 == 0 ? "even" : "odd" })));
        var found = ReftProcess.Run(
            "compare", "--model", TinyLlama.Folder, "--data", rows, "--eval-data", rows, "--task", "classification",
            "--methods", "probe,bitfit", "--seeds", "1", "--epochs", "2", "--output", folder.File("runs"), "--json").Succeeded();
        var probe = found.Json.Single().GetProperty("methods")[0];
        Check.Equal(0, probe.GetProperty("trainable_parameters").GetInt32(), "the probe is the head alone");
        Check.Equal(128, probe.GetProperty("runs")[0].GetProperty("head_parameters").GetInt32(), "whose parameters are counted apart");
        Check.That(probe.GetProperty("accuracy").GetProperty("mean").GetDouble() is >= 0 and <= 1, "an accuracy");
        Check.Equal(JsonValueKind.Null, probe.GetProperty("loss").GetProperty("deviation").ValueKind, "one seed has no deviation");
    }

    private static void Refusals()
    {
        using var folder = TinyLlama.NewFolder();
        ReftProcess.Run(Compare(folder, "loreft,lroa", "1")).FailedWith(2, "--methods", "'lroa'", "lora, dora");
        ReftProcess.Run(Compare(folder, "lora:rnk=2", "1")).FailedWith(2, "--methods", "'rnk'", "rank, alpha");
        ReftProcess.Run(Compare(folder, "lora+full", "1")).FailedWith(2, "one method that tunes the model itself");
        ReftProcess.Run("train", "--model", "m", "--data", "d", "--output", "o", "--method", "lora", "--dropout", "0.1")
            .FailedWith(2, "--dropout", "lora:dropout=0.1");
        ReftProcess.Run(Compare(folder, "lora,lora", "1")).FailedWith(2, "each method once");
        ReftProcess.Run(Compare(folder, "lora", "1,x")).FailedWith(2, "--seeds", "'x'");
        ReftProcess.Run("compare", "--model", "m", "--data", "d", "--methods", "lora", "--output", "o").FailedWith(2, "--eval-data");
        Check.That(!Directory.Exists(folder.File("runs")), "expected no folder");
    }
}
