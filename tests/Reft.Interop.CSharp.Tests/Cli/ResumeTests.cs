using System.Globalization;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary><c>reft train</c> that is broken off and goes on.</summary>
public static class ResumeTests
{
    private static readonly bool Long = Environment.GetEnvironmentVariable("REFT_LONG_TESTS") == "1";

    /// <summary>Resuming.</summary>
    [Tests]
    public static readonly Test Resuming = Runner.TestList(
        "Resuming",
        [
            Runner.TestCase("an interrupted run goes on to the same adapter and losses", Interrupted),
            Runner.TestCase("a run that was broken off is not overwritten without --resume", NotOverwritten),
            Runner.TestCase("a damaged checkpoint is said, and the one before it used", Damaged),
            Runner.TestCase("the options of a run reach it", Options),
            Runner.TestCase("the best parameters are saved, and a run stops early", BestAndEarly),
            Runner.TestCase("wrong options end with 2 and one line", UsageErrors),
            .. Long
                ? new[]
                {
                    Runner.TestCase("killed 40 times, a small model, every step saved", () => Killed(40, SmallModel)),
                    Runner.TestCase("killed 15 times, hidden 512 in bf16 on 2 threads, every step saved", () => Killed(15, LargerModel)),
                }
                : [],
        ]);

    private static void Interrupted()
    {
        using var folder = TinyLlama.NewFolder();
        string[] train = [.. Train(folder, 16), "--max-steps", "60", "--dropout", "0.1", "--accumulate", "2", "--batch-size", "2", "--checkpoint-every", "7", "--json"];
        var whole = ReftProcess.Run([.. train, "--output", folder.File("whole")]).Succeeded().Json.Single();
        string[] broken = [.. train, "--output", folder.File("broken"), "--resume"];
        var stopped = ReftProcess.Interrupt("step 3/", broken);
        Check.Equal(130, stopped.ExitCode, "exit code");
        Check.That(stopped.Errors.Contains("--resume goes on from there", StringComparison.Ordinal), $"expected it to say so, found: {stopped.Errors}");
        var steps = stopped.Json.Single().GetProperty("steps").GetInt32();
        Check.That(steps < 60, $"expected it to stop before its end, found {steps} steps");

        var resumed = ReftProcess.Run(broken).Succeeded();
        Check.That(
            resumed.Errors.Contains($"resuming after step {steps} of 60", StringComparison.Ordinal), $"expected the step of the interrupt, found: {resumed.Errors}");
        var outcome = resumed.Json.Single();
        Check.Equal(steps, outcome.GetProperty("resumed_from").GetInt32(), "where it went on");
        Same(folder, "whole", whole, "broken", outcome);

        var again = ReftProcess.Run(broken).Succeeded();
        Check.That(again.Errors.Contains("the run is complete", StringComparison.Ordinal), $"expected it to say so, found: {again.Errors}");
        Same(folder, "whole", whole, "broken", again.Json.Single());
    }

    private static void NotOverwritten()
    {
        using var folder = TinyLlama.NewFolder();
        string[] train = [.. Train(folder, 16), "--output", folder.File("out"), "--checkpoint-every", "5"];
        Check.Equal(130, ReftProcess.Interrupt("step ", [.. train, "--epochs", "1000000"]).ExitCode, "exit code");
        var refused = ReftProcess.Run([.. train, "--epochs", "1"]);
        Check.Equal(1, refused.ExitCode, "exit code");
        Check.That(
            refused.Errors.Contains("--resume", StringComparison.Ordinal) && refused.Errors.Contains("broken off after step", StringComparison.Ordinal),
            $"expected it to name the way out, found: {refused.Errors}");
        var foreign = ReftProcess.Run([.. train, "--epochs", "1", "--resume"]);
        Check.Equal(1, foreign.ExitCode, "exit code");
        Check.That(foreign.Errors.Contains("Epochs: 1000000 in the checkpoint, 1 here", StringComparison.Ordinal), $"expected what differs, found: {foreign.Errors}");

        Directory.Delete(folder.File(Path.Combine("out", "checkpoints")), recursive: true);
        ReftProcess.Run([.. train, "--epochs", "1", "--resume"]).Succeeded();
        ReftProcess.Run([.. train, "--epochs", "2"]).Succeeded();
    }

    private static void Damaged()
    {
        using var folder = TinyLlama.NewFolder();
        string[] train = [.. Train(folder, 16), "--output", folder.File("out"), "--batch-size", "4", "--epochs", "2", "--checkpoint-every", "3", "--json"];
        var whole = ReftProcess.Run(train).Succeeded().Json.Single();
        var newest = Directory.GetFiles(folder.File(Path.Combine("out", "checkpoints"))).Max()!;
        Check.Equal("checkpoint-00000008.safetensors", Path.GetFileName(newest), "the newest");
        using (var file = File.OpenWrite(newest))
        {
            file.SetLength(file.Length - 1);
        }

        var resumed = ReftProcess.Run([.. train, "--resume"]).Succeeded();
        Check.That(
            resumed.Errors.Contains("warning: a newer checkpoint cannot be read", StringComparison.Ordinal)
                && resumed.Errors.Contains("checkpoint-00000008.safetensors", StringComparison.Ordinal)
                && resumed.Errors.Contains("resuming after step 6 of 8", StringComparison.Ordinal),
            $"expected it to say so, found: {resumed.Errors}");
        var outcome = resumed.Json.Single();
        Check.Equal(1, outcome.GetProperty("warnings").GetArrayLength(), "warnings");
        Check.Same(Losses(whole), Losses(outcome), "losses");
    }

    private static void Options()
    {
        using var folder = TinyLlama.NewFolder();
        var steps = 0;
        int Steps(params string[] options)
        {
            steps++;
            return ReftProcess.Run([.. Train(folder, 16), "--output", folder.File(string.Create(CultureInfo.InvariantCulture, $"out{steps}")), "--json", .. options])
                .Succeeded().Json.Single().GetProperty("steps").GetInt32();
        }

        Check.Equal(5, Steps("--max-steps", "5", "--schedule", "polynomial:2", "--warmup-steps", "2", "--clip", "none"), "steps asked for");
        Check.Equal(2, Steps("--max-examples", "4", "--batch-size", "2", "--epochs", "1", "--no-shuffle"), "of 4 rows");
        Check.Equal(4, Steps("--accumulate", "2", "--accumulation-weighting", "equal", "--batch-size", "2", "--epochs", "1"), "of 2 × 2 rows");
        Check.Equal("dropout(0.1) (loreft(rank=4))", AdapterInfo.Read(Dropped("0.1")).Placements[0].Intervention, "dropout of the change");
        Check.That(
            AdapterInfo.Read(Dropped("0.1:output")).Placements[0].Intervention.Contains("utput", StringComparison.Ordinal), "expected dropout of the output");

        string Dropped(string dropout)
        {
            Steps("--max-steps", "1", "--dropout", dropout);
            return folder.File(string.Create(CultureInfo.InvariantCulture, $"out{steps}"));
        }
    }

    private static void BestAndEarly()
    {
        using var folder = TinyLlama.NewFolder();
        var data = Write(folder, "train.jsonl", Rows(16));
        var other = Write(folder, "other.jsonl", Enumerable.Range(0, 4).Select(i => $$"""{"input_ids": [1, {{30 + i}}, 9, 40], "labels": [-100, -100, -100, 40]}"""));

        // What is held out is another task: its loss gets worse as soon as this one is learnt.
        var outcome = ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", data, "--eval-data", other, "--output", folder.File("out"),
            "--epochs", "50", "--batch-size", "4", "--lr", "0.05", "--eval-every", "2", "--best", "loss:min", "--early-stopping", "3", "--json")
            .Succeeded().Json.Single();
        Check.Equal("early_stopped", outcome.GetProperty("end").GetString(), "end");
        var best = outcome.GetProperty("best");
        Check.Equal(outcome.GetProperty("steps").GetInt32(), best.GetProperty("step").GetInt32() + 6, "three evaluations later");
        using var model = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.File("out"));
        Check.Equal(best.GetProperty("value").GetDouble(), model.Evaluate(TrainingData.FromJsonLines(other), 4), "the loss of the saved adapter");
    }

    private static void UsageErrors()
    {
        string[] train = ["train", "--model", "m", "--data", "d", "--output", "o"];
        ReftProcess.Run([.. train, "--schedule", "sine"]).FailedWith(2, "--schedule", "'sine'", "cosine");
        ReftProcess.Run([.. train, "--schedule", "polynomial:0"]).FailedWith(2, "--schedule", "'0'");
        ReftProcess.Run([.. train, "--eval-data", "e", "--eval-every", "2weeks"]).FailedWith(2, "--eval-every", "'2weeks'");
        ReftProcess.Run([.. train, "--eval-data", "e", "--best", "loss:most"]).FailedWith(2, "--best", "'loss:most'");
        ReftProcess.Run([.. train, "--on-nan", "skip"]).FailedWith(2, "--on-nan", "skip:N");
        ReftProcess.Run([.. train, "--dropout", "1"]).FailedWith(2, "--dropout", "'1'");
        ReftProcess.Run([.. train, "--clip", "0"]).FailedWith(2, "--clip", "none");
        ReftProcess.Run([.. train, "--checkpoint-every", "0"]).FailedWith(2, "--checkpoint-every", "'0'");
        foreach (var option in new[] { "--best", "--early-stopping", "--eval-every" })
        {
            ReftProcess.Run([.. train, option, option == "--best" ? "loss" : "2"]).FailedWith(2, option, "--eval-data");
        }
    }

    // The case, as it is found and as it is left: a model, the command's options, and how long it is let run.
    private sealed record Case(string Model, string Threads, string[] Options, int LongestMilliseconds);

    private static Case SmallModel(TemporaryFolder folder) =>
        new(TinyLlama.Folder, "1", ["--max-steps", "400", "--batch-size", "2", "--accumulate", "2"], 600);

    private static Case LargerModel(TemporaryFolder folder) =>
        new(RandomLlama.Write(folder.File("model")), "2", ["--max-steps", "120", "--batch-size", "4", "--accumulate", "2", "--dtype", "bf16"], 2500);

    private static void Killed(int kills, Func<TemporaryFolder, Case> make)
    {
        using var folder = TinyLlama.NewFolder();
        var test = make(folder);
        (string, string)[] environment = [("OMP_NUM_THREADS", test.Threads)];
        string[] train =
        [
            "train", "--model", test.Model, "--data", Write(folder, "train.jsonl", Rows(16)), "--eval-data", Write(folder, "held.jsonl", Rows(3)),
            "--dropout", "0.1", "--schedule", "cosine", "--warmup-steps", "5", "--lr", "0.01", "--eval-every", "9", "--best", "loss", "--json",
            .. test.Options,
        ];

        // Never saved and never broken off.
        var whole = ReftProcess.Run([.. train, "--output", folder.File("whole")], environment).Succeeded().Json.Single();
        var random = new Random(7);
        var (killed, within, rounds) = (0, 0, 0);
        while (!Enough())
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"broken{rounds++}");
            var checkpoints = folder.File(Path.Combine(name, "checkpoints"));
            string[] broken = [.. train, "--output", folder.File(name), "--checkpoint-every", "1", "--resume"];
            Outcome? outcome = null;
            while (!Enough() && outcome is null)
            {
                // One in eight while it starts, or before it is at its first step; half of them once it is saving.
                var when = random.Next(8) == 0 ? "measuring" : "training";
                var after = TimeSpan.FromMilliseconds(random.NextDouble() * test.LongestMilliseconds);
                var saving = random.Next(2) == 0;
                outcome = ReftProcess.Kill(when, after, () => !saving || HalfSaved(checkpoints), environment, broken);
                killed += outcome is null ? 1 : 0;
                within += outcome is null && HalfSaved(checkpoints) ? 1 : 0;
            }

            outcome ??= ReftProcess.Run(broken, environment);
            Same(folder, "whole", whole, name, outcome.Succeeded().Json.Single());
            Check.That(!HalfSaved(checkpoints), "expected nothing to be left of the saves that were killed");
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{killed} kills in {rounds} runs, {within} of them within a save"));
        Check.That(within >= kills / 5, $"expected {kills / 5} of {killed} kills or more to fall into a save, found {within}");

        bool Enough() => killed >= 5 * kills || (killed >= kills && within >= kills / 5);

        static bool HalfSaved(string checkpoints) =>
            Directory.Exists(checkpoints) && Directory.EnumerateFiles(checkpoints, ".*.tmp").Any();
    }

    private static void Same(TemporaryFolder folder, string expected, JsonElement whole, string found, JsonElement outcome)
    {
        Check.Same(Losses(whole), Losses(outcome), "losses, to the last digit");
        foreach (var file in new[] { "reft.json", "reft.safetensors" })
        {
            Check.That(
                File.ReadAllBytes(Path.Combine(folder.File(expected), file)).AsSpan()
                    .SequenceEqual(File.ReadAllBytes(Path.Combine(folder.File(found), file))),
                $"expected {file} to be the same to the last byte");
        }
    }

    private static double[] Losses(JsonElement outcome) =>
        [.. outcome.GetProperty("losses").EnumerateArray().Select(loss => loss.GetDouble())];

    private static string[] Train(TemporaryFolder folder, int rows) =>
        ["train", "--model", TinyLlama.Folder, "--data", Write(folder, "train.jsonl", Rows(rows))];

    private static IEnumerable<string> Rows(int count) =>
        Enumerable.Range(0, count).Select(i => string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"input_ids": [1, {{30 + i}}, {{60 + (3 * i)}}, {{90 + i}}, {{7 + i}}, 20, 21, 22], "labels": [-100, -100, -100, -100, -100, 20, 21, 22]}"""));

    private static string Write(TemporaryFolder folder, string name, IEnumerable<string> lines)
    {
        var path = folder.File(name);
        File.WriteAllLines(path, lines);
        return path;
    }
}
