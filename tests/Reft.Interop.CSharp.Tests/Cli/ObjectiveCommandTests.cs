using System.Globalization;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary><c>reft train --objective</c> as a process.</summary>
public static class ObjectiveCommandTests
{
    /// <summary>Objectives on the command line.</summary>
    [Tests]
    public static readonly Test Commands = Runner.TestList(
        "Objectives on the command line",
        [
            Runner.TestCase("preferences are learnt and measured", LearnsPreferences),
            Runner.TestCase("a reward is learnt, and inspect shows its head", LearnsReward),
            Runner.TestCase("a teacher's adapter is followed", FollowsTeacher),
            Runner.TestCase("options that do not belong together end with one line", Refusals),
        ]);

    private static string[] Train(TemporaryFolder folder, string data, string name) =>
    [
        "train", "--model", TinyLlama.Folder, "--data", data, "--output", folder.File(name), "--layers", "1;2",
        "--positions", "l2", "--lr", "2e-2", "--epochs", "6", "--batch-size", "4", "--json",
    ];

    private static string Pairs(TemporaryFolder folder)
    {
        var path = folder.File("pairs.jsonl");
        File.WriteAllLines(path, Enumerable.Range(0, 12).Select(i => string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"prompt": [1, {{30 + i}}, {{60 + i}}], "chosen": [20, 21, 22], "rejected": [50, 51]}""")));
        return path;
    }

    private static string Rows(TemporaryFolder folder)
    {
        var path = folder.File("rows.jsonl");
        File.WriteAllLines(path, Enumerable.Range(0, 12).Select(i => string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"input_ids": [1, {{30 + i}}, {{60 + i}}, 20, 21], "labels": [-100, -100, -100, 20, 21]}""")));
        return path;
    }

    private static (double Before, double After) Evaluated(JsonElement outcome, string name)
    {
        var evaluation = outcome.GetProperty("evaluation");
        var pair = name == "loss" ? evaluation : evaluation.GetProperty(name);
        return (pair.GetProperty("before").GetDouble(), pair.GetProperty("after").GetDouble());
    }

    private static void LearnsPreferences()
    {
        using var folder = TinyLlama.NewFolder();
        var pairs = Pairs(folder);
        foreach (string[] options in new string[][]
        {
            ["dpo", "--beta", "0.3", "--label-smoothing", "0.05"],
            ["simpo", "--margin", "0.5"],
            ["reps", "--steering-factors", "0.5,1", "--suppression", "nulled"],
        })
        {
            var outcome = ReftProcess.Run([.. Train(folder, pairs, options[0]), "--eval-data", pairs, "--objective", .. options])
                .Succeeded().Json.Single();
            var (before, after) = Evaluated(outcome, "loss");
            Check.That(after < before, $"{options[0]}: expected the loss to fall, found {before} → {after}");
            Check.Equal(1.0, Evaluated(outcome, "accuracy").After, $"{options[0]}: accuracy");
            Check.Equal(12, outcome.GetProperty("trained_rows").GetInt32(), "rows");
        }

        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--adapter", folder.File("dpo"), "--input", Rows(folder)).Succeeded();
    }

    private static void LearnsReward()
    {
        using var folder = TinyLlama.NewFolder();
        var pairs = Pairs(folder);
        var outcome = ReftProcess.Run([.. Train(folder, pairs, "reward"), "--eval-data", pairs, "--objective", "reward", "--centering", "0.01"])
            .Succeeded().Json.Single();
        Check.Equal(1.0, Evaluated(outcome, "accuracy").After, "accuracy");
        Check.Equal(64, outcome.GetProperty("head_parameters").GetInt32(), "one output");
        var head = ReftProcess.Run("inspect", folder.File("reward"), "--json").Succeeded().Json.Single().GetProperty("head");
        Check.Equal("regression", head.GetProperty("problem").GetString(), "the head's problem");
    }

    private static void FollowsTeacher()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Rows(folder);
        ReftProcess.Run(Train(folder, rows, "teacher")).Succeeded();
        var outcome = ReftProcess.Run(
            [
                .. Train(folder, rows, "student"), "--eval-data", rows, "--seed", "7", "--objective", "distill",
                "--teacher-adapter", folder.File("teacher"), "--temperature", "2", "--teacher-weight", "0.9",
            ]).Succeeded().Json.Single();
        var (before, after) = Evaluated(outcome, "loss");
        Check.That(after < before / 2, $"expected to come near the teacher, found {before} → {after}");
    }

    private static void Refusals()
    {
        using var folder = TinyLlama.NewFolder();
        var (pairs, rows) = (Pairs(folder), Rows(folder));
        string[] train = Train(folder, pairs, "out");
        ReftProcess.Run([.. train, "--objective", "ppo"]).FailedWith(2, "ppo");
        ReftProcess.Run([.. train, "--objective", "dpo", "--beta", "-1"]).FailedWith(2, "--beta", "> 0");
        ReftProcess.Run([.. train, "--objective", "ipo", "--margin", "1"]).FailedWith(1, "--margin belongs to --objective simpo, found ipo");
        ReftProcess.Run([.. train, "--beta", "1"]).FailedWith(1, "--beta belongs to --objective dpo or ipo or simpo, found language");
        ReftProcess.Run([.. train, "--objective", "dpo", "--task", "regression"]).FailedWith(1, "--task belongs to --objective language");
        ReftProcess.Run([.. train, "--objective", "reps", "--steering-factors", "1,x"]).FailedWith(1, "--steering-factors", "'x'");
        ReftProcess.Run([.. Train(folder, rows, "out"), "--objective", "distill"]).FailedWith(1, "--teacher-adapter");
        ReftProcess.Run([.. Train(folder, rows, "out"), "--objective", "dpo"]).FailedWith(1, "rows.jsonl:1", "'prompt'");
        Check.That(!Directory.Exists(folder.File("out")), "nothing is left behind");
    }
}
