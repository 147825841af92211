using System.Globalization;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary>The options of <c>reft train</c> that change how much is computed.</summary>
public static class SpeedCommandTests
{
    /// <summary>The options.</summary>
    [Tests]
    public static readonly Test Speed = Runner.TestList(
        "Training speed (command line)",
        [
            Runner.TestCase("the same losses with recomputation and a cache, fewer steps with packed rows", Trains),
            Runner.TestCase("wrong values end with 2 and one line", Refusals),
        ]);

    private static void Trains()
    {
        using var folder = TinyLlama.NewFolder();
        var plain = Run();
        Close(Run("--recompute"), plain);
        Close(Run("--recompute", "2", "--cache-frozen", "1M"), plain);
        Close(Run("--cache-frozen", $"20K:{folder.Path}"), plain);
        Check.Equal(plain.Steps, Run("--group-by-length").Steps, "steps by length");
        Check.That(Run("--pack", "60").Steps < plain.Steps, "expected fewer steps with packed rows");

        (int Steps, double Loss) Run(params string[] options)
        {
            var data = folder.File("rows.jsonl");
            File.WriteAllLines(data, Enumerable.Range(0, 16).Select(i => string.Create(
                CultureInfo.InvariantCulture,
                $$"""{"input_ids": [1, {{30 + i}}, {{60 + i}}, 20, 21], "labels": [-100, -100, -100, 20, 21]}""")));
            var outcome = ReftProcess.Run(
                [
                    "train", "--model", TinyLlama.Folder, "--data", data, "--output", folder.File("adapter"), "--layers", "2",
                    "--positions", "f1+l1", "--epochs", "2", "--batch-size", "4", "--json", .. options,
                ]).Succeeded().Json.Single();
            return (outcome.GetProperty("steps").GetInt32(), outcome.GetProperty("final_loss").GetDouble());
        }

        static void Close((int Steps, double Loss) found, (int Steps, double Loss) expected)
        {
            Check.Equal(expected.Steps, found.Steps, "steps");
            Check.That(Math.Abs(found.Loss - expected.Loss) < 1e-4 * expected.Loss, $"expected {expected.Loss}, found {found.Loss}");
        }
    }

    private static void Refusals()
    {
        string[] train = ["train", "--model", TinyLlama.Folder, "--data", "rows.jsonl", "--output", "adapter"];
        ReftProcess.Run([.. train, "--pack", "60", "--group-by-length"]).FailedWith(2, "--group-by-length or --pack");
        ReftProcess.Run([.. train, "--pack", "1"]).FailedWith(2, "--pack");
        ReftProcess.Run([.. train, "--recompute", "0"]).FailedWith(2, "--recompute");
        foreach (var size in new[] { "", "0", "12X", "-1G", "1G:", "99999999999G" })
        {
            ReftProcess.Run([.. train, "--cache-frozen", size]).FailedWith(2, "--cache-frozen");
        }
    }
}
