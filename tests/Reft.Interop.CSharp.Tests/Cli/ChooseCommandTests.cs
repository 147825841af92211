using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary><c>reft choose</c>.</summary>
public static class ChooseCommandTests
{
    /// <summary>What a user sees.</summary>
    [Tests]
    public static readonly Test Choose = Runner.TestList(
        "The command choose",
        [
            Runner.TestCase("accuracy, its interval and calibration, and two adapters compared", Compares),
            Runner.TestCase("rows without answers, and wrong command lines", Refuses),
        ]);

    private static void Compares()
    {
        using var folder = TinyLlama.WithTokenizer();
        var input = folder.File("rows.jsonl");
        File.WriteAllLines(input, Enumerable.Range(0, 12).Select(i =>
            $$"""{"prompt": "row {{(char)('a' + i)}}", "choices": [" yes", " no"], "answer": {{i % 2}}}"""));
        var data = folder.File("train.jsonl");
        File.WriteAllLines(data, Enumerable.Range(0, 12).Select(i =>
            $$"""{"prompt": "row {{(char)('a' + i)}}", "completion": "{{(i % 2 == 0 ? " yes" : " no")}}"}"""));
        var adapter = folder.File("adapter");
        ReftProcess.Run(
            "train", "--model", folder.Path, "--data", data, "--output", adapter, "--epochs", "60", "--lr", "2e-2", "--rank", "4").Succeeded();

        string[] choose = ["choose", "--model", folder.Path, "--input", input];
        var lines = ReftProcess.Run([.. choose, "--adapter", adapter, "--json"]).Succeeded().Json;
        Check.Equal(13, lines.Count, "a line per row, and the evaluation");
        Check.Equal(2, lines[0].GetProperty("scores").GetArrayLength(), "scores");
        var found = lines[^1].GetProperty("evaluation");
        Check.Equal(12, found.GetProperty("rows").GetInt32(), "rows");
        var accuracy = found.GetProperty("accuracy").GetProperty("estimate").GetDouble();
        Check.That(accuracy > 0.8, $"expected the choices to be learnt, found {accuracy}");
        Check.Equal(
            lines.Take(12).Count(line => line.GetProperty("right").GetBoolean()) / 12.0, accuracy, "the share of right rows");
        Check.That(found.GetProperty("calibration_error").GetDouble() is >= 0 and <= 1, "calibration");

        var both = ReftProcess.Run([.. choose, "--against", adapter, "--json"]).Succeeded().Json[^1];
        Check.Equal(accuracy, both.GetProperty("against").GetProperty("accuracy").GetProperty("estimate").GetDouble(), "the adapter");
        var first = both.GetProperty("evaluation").GetProperty("accuracy").GetProperty("estimate").GetDouble();
        var difference = both.GetProperty("difference");
        Check.That(Math.Abs(first - accuracy - difference.GetProperty("accuracy").GetDouble()) < 1e-9, "the base model minus the adapter");
        Check.That(difference.GetProperty("p_value").GetDouble() is > 0 and <= 1, "McNemar's");

        var text = ReftProcess.Run([.. choose, "--adapter", adapter, "--against", adapter, "--by", "pmi"]).Succeeded().Output;
        Check.That(text.Contains("accuracy", StringComparison.Ordinal) && text.Contains("McNemar's p  1\n", StringComparison.Ordinal), text);
        text = ReftProcess.Run([.. choose, "--by", "generation", "--max-new-tokens", "4"]).Succeeded().Output;
        Check.That(text.Contains("wrong", StringComparison.Ordinal) && !text.Contains("Brier", StringComparison.Ordinal), text);
    }

    private static void Refuses()
    {
        using var folder = TinyLlama.WithTokenizer();
        var input = folder.File("rows.jsonl");
        File.WriteAllText(input, """{"prompt": "a", "choices": ["b", "c"]}""");
        var found = ReftProcess.Run("choose", "--model", folder.Path, "--input", input).Succeeded();
        Check.That(!found.Output.Contains("accuracy", StringComparison.Ordinal), found.Output);
        ReftProcess.Run("choose", "--model", folder.Path, "--input", input, "--neutral-prompt", "x").FailedWith(2, "--by pmi", "--neutral-prompt");
        var nowhere = ReftProcess.Run("choose", "--model", folder.Path, "--input", input, "--against", folder.File("nowhere"));
        nowhere.FailedWith(1, "nowhere", "reft.json");
        Check.Equal("", nowhere.Output, "before the first row");
        ReftProcess.Run("choose", "--model", folder.Path, "--input", input, "--by", "chance").FailedWith(2, "'chance'", "per-byte", "reft choose --help");
        File.WriteAllText(input, """{"prompt": "a", "choices": ["b"]}""");
        ReftProcess.Run("choose", "--model", folder.Path, "--input", input).FailedWith(1, "rows.jsonl:1", "'choices'");
    }
}
