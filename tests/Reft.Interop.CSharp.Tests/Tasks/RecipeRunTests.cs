using System.Text.Json;
using System.Text.Json.Nodes;
using Expecto;
using Expecto.CSharp;
using Reft.Tests.Cli;

namespace Reft.Tests.Tasks;

/// <summary><c>reft run</c> from a recipe to a table, on the smallest model and rows of our own.</summary>
public static class RecipeRunTests
{
    private static readonly string[] Folders =
        ["boolq", "piqa", "social_i_qa", "hellaswag", "winogrande", "ARC-Easy", "ARC-Challenge", "openbookqa"];

    /// <summary>Runs of recipes.</summary>
    [Tests]
    public static readonly Test Runs = Runner.TestList(
        "Runs of recipes",
        [
            Runner.TestCase("a learnt answer is found: every data set is right", LearnsAndAnswers),
            Runner.TestCase("a finished seed is not run again, a missing data set alone is", NotAgain),
            Runner.TestCase("a run that was interrupted ends as one that was not", Interrupted),
            Runner.TestCase("a seed whose result could not be written keeps its checkpoints", NotRecorded),
            Runner.TestCase("results of other settings are not mixed", NotMixed),
            Runner.TestCase("one of the variants of a file is chosen by its name", ChosenVariant),
            Runner.TestCase("missing files are listed before anything is trained", MissingFiles),
            Runner.TestCase("the list, and what a dry run shows", ListAndDryRun),
            Runner.TestCase("instructions are answered in AlpacaEval's format", Instructions),
            Runner.TestCase("GLUE: the best epoch on one half, the score on the other", Glue),
            Runner.TestCase("wrong command lines are refused", Refusals),
        ]);

    private static string Recipe(TemporaryFolder folder, string method, int epochs = 1, string seeds = "[42]", double rate = 1e-3)
    {
        var path = folder.File("own.json");
        File.WriteAllText(path, $$"""
            {
              "title": "A recipe of the tests", "task": "commonsense", "base_model": "none", "dtype": "fp32",
              "method": {{method}},
              "training": { "learning_rate": {{rate}}, "schedule": "linear", "warmup_ratio": 0, "weight_decay": 0, "batch_size": 4, "accumulation": 1, "epochs": {{epochs}}, "max_length": 100 },
              "seeds": {{seeds}},
              "decoding": { "max_new_tokens": 28 },
              "evaluation_batch_size": 4,
              "paper": { "source": "nowhere", "parameters_percent": 1, "scores": { "boolq": 50, "piqa": 60.5 }, "average": 70 }
            }
            """);
        return path;
    }

    private static string Loreft => """{ "name": "loreft", "rank": 2, "layers": "1;2", "positions": "f2+l2", "tied": true, "short_prompts": "pyreft", "dropout": 0 }""";

    private static string Lora => """{ "name": "lora", "rank": 8, "alpha": 16, "modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "dropout": 0 }""";

    // Every answer is 'true': it can be learnt without understanding.
    private static string Data(TemporaryFolder folder, int rows = 6)
    {
        var data = folder.File("data");
        Write("commonsense_170k", "train", 24);
        foreach (var name in Folders)
        {
            Write(name, "test", rows);
        }

        return data;

        void Write(string name, string split, int count)
        {
            Directory.CreateDirectory(Path.Combine(data, name));
            File.WriteAllText(Path.Combine(data, name, $"{split}.json"), JsonSerializer.Serialize(Enumerable.Range(0, count).Select(i => new
            {
                instruction = $"Is {i} {name}?{new string('!', i % 3)}",
                input = "",
                output = "the correct answer is true",
                answer = "true",
            })));
        }
    }

    private static string[] Run(TemporaryFolder model, string recipe, string data, string output) =>
        ["run", recipe, "--model", model.Path, "--data", data, "--output", output];

    private static JsonElement Result(string output, int seed)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, $"seed-{seed}", "result.json")));
        return json.RootElement.Clone();
    }

    private static void LearnsAndAnswers()
    {
        using var folder = TinyLlama.NewFolder();
        var output = folder.File("out");
        var run = ReftProcess.Run(
            "run", Recipe(folder, Lora, epochs: 4, rate: 0.005), "--model", RepositoryFiles.At("models/base-3.8m"), "--data", Data(folder, rows: 2),
            "--output", output, "--set", "decoding.max_new_tokens=12").Succeeded();
        foreach (var dataset in new[] { "boolq", "arc-c", "obqa" })
        {
            using var answers = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "seed-42", $"{dataset}.json")));
            Check.Equal(2, answers.RootElement.GetArrayLength(), "answers");
            foreach (var answer in answers.RootElement.EnumerateArray())
            {
                Check.Equal("true", answer.GetProperty("generation").GetString(), dataset);
                Check.That(answer.GetProperty("correct").GetBoolean(), "it is right");
            }
        }

        var lines = run.Lines;
        Check.That(lines[0].StartsWith("data set", StringComparison.Ordinal) && lines[0].EndsWith("paper", StringComparison.Ordinal), run.Output);
        Check.Same(["boolq", "2", "1", "100.0", "50.0"], lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries), "a row with its figure");
        Check.Same(["siqa", "2", "1", "100.0", "–"], lines[3].Split(' ', StringSplitOptions.RemoveEmptyEntries), "a row without");
        Check.Same(["average", "100.0", "70.0"], lines[9].Split(' ', StringSplitOptions.RemoveEmptyEntries), "average");

        using var results = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "results.json")));
        var first = results.RootElement.GetProperty("datasets")[0];
        Check.Equal(100.0, first.GetProperty("mean").GetDouble(), "mean");
        Check.Equal(50.0, first.GetProperty("paper").GetDouble(), "paper");
        Check.Equal(24, results.RootElement.GetProperty("seeds")[0].GetProperty("trained_rows").GetInt32(), "trained rows");
        Check.That(!Directory.Exists(Path.Combine(output, "seed-42", "checkpoints")), "checkpoints of a finished run are removed");
    }

    private static void NotAgain()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        var output = folder.File("out");
        string[] run = [.. Run(model, Recipe(folder, Loreft), Data(folder), output), "--max-train", "8", "--max-eval", "3"];
        var part = ReftProcess.Run([.. run, "--datasets", "piqa,boolq"]).Succeeded();
        Check.That(part.Lines[4].Contains("not run", StringComparison.Ordinal), $"hellaswag was not run: {part.Output}");
        Check.That(part.Lines[9].Contains("not run", StringComparison.Ordinal), $"no average of a part: {part.Output}");
        Check.Equal(8, Result(output, 42).GetProperty("trained_rows").GetInt32(), "trained rows");
        Check.Equal(3, Result(output, 42).GetProperty("datasets")[0].GetProperty("rows").GetInt32(), "evaluated rows");

        var file = Path.Combine(output, "seed-42", "boolq.json");
        var adapter = Path.Combine(output, "seed-42", "adapter", "reft.safetensors");
        var before = (File.GetLastWriteTimeUtc(file), File.GetLastWriteTimeUtc(adapter));
        var rest = ReftProcess.Run([.. run, "--seeds", "42,43"]).Succeeded();
        Check.Equal(before, (File.GetLastWriteTimeUtc(file), File.GetLastWriteTimeUtc(adapter)), "what was there is left alone");
        Check.That(!rest.Errors.Contains("seed 42: step", StringComparison.Ordinal), $"it is not trained again: {rest.Errors}");
        Check.Equal(8, Result(output, 42).GetProperty("datasets").GetArrayLength(), "the others are evaluated");
        var again = ReftProcess.Run([.. run, "--seeds", "42,43"]).Succeeded();
        Check.Equal(rest.Output, again.Output, "the same table");
        Check.That(again.Errors.Contains("seed 43: finished by an earlier run", StringComparison.Ordinal), again.Errors);

        // What a kill right after the result was written leaves.
        var checkpoints = Path.Combine(output, "seed-43", "checkpoints");
        Directory.CreateDirectory(Path.Combine(checkpoints, "step-1"));
        var alone = ReftProcess.Run([.. run, "--seeds", "43"]).Succeeded();
        Check.That(!Directory.Exists(checkpoints), "checkpoints of a finished seed are removed");
        Check.Equal(rest.Output, alone.Output, "the table holds the seeds of earlier runs too");
        using var results = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "results.json")));
        Check.Same(
            [42L, 43], results.RootElement.GetProperty("seeds").EnumerateArray().Select(seed => seed.GetProperty("seed").GetInt64()), "seeds of results.json");

        // A data set that was evaluated with the adapter loaded again says the same as one evaluated after training.
        var fresh = folder.File("fresh");
        ReftProcess.Run([.. Run(model, folder.File("own.json"), folder.File("data"), fresh), "--max-train", "8", "--max-eval", "3"]).Succeeded();
        Check.Equal(
            File.ReadAllText(Path.Combine(fresh, "seed-42", "obqa.json")), File.ReadAllText(Path.Combine(output, "seed-42", "obqa.json")), "answers");
    }

    private static void Interrupted()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        var recipe = Recipe(folder, Loreft, epochs: 30, seeds: "[42, 43]");
        var data = Data(folder, rows: 2);
        string[] whole = [.. Run(model, recipe, data, folder.File("whole")), "--datasets", "boolq"];
        string[] broken = [.. Run(model, recipe, data, folder.File("broken")), "--datasets", "boolq"];
        var expected = ReftProcess.Run(whole).Succeeded();
        var stopped = ReftProcess.Interrupt("seed 43: step", broken);
        Check.Equal(130, stopped.ExitCode, "exit code");
        Check.That(stopped.Errors.Contains("goes on from there", StringComparison.Ordinal), stopped.Errors);
        Check.That(!File.Exists(Path.Combine(folder.File("broken"), "seed-43", "result.json")), "seed 43 is not finished");
        var ended = ReftProcess.Run(broken).Succeeded();
        Check.That(ended.Errors.Contains("seed 42: finished by an earlier run", StringComparison.Ordinal), ended.Errors);
        Check.Equal(expected.Output, ended.Output, "the same table");
        foreach (var seed in new[] { 42, 43 })
        {
            var (one, other) = (Result(folder.File("whole"), seed), Result(folder.File("broken"), seed));
            Check.Equal(one.GetProperty("final_loss").GetDouble(), other.GetProperty("final_loss").GetDouble(), $"the loss of seed {seed}");
            Check.Equal(
                Convert.ToHexString(File.ReadAllBytes(Path.Combine(folder.File("whole"), $"seed-{seed}", "adapter", "reft.safetensors"))),
                Convert.ToHexString(File.ReadAllBytes(Path.Combine(folder.File("broken"), $"seed-{seed}", "adapter", "reft.safetensors"))),
                $"the adapter of seed {seed}");
        }
    }

    private static void NotRecorded()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        var output = folder.File("out");
        string[] run = [.. Run(model, Recipe(folder, Loreft), Data(folder, rows: 1), output), "--datasets", "boolq", "--max-train", "4"];

        // A folder in the result's place: training ends, and its result cannot be written.
        var inTheWay = Path.Combine(output, "seed-42", "result.json");
        Directory.CreateDirectory(inTheWay);
        Check.Equal(1, ReftProcess.Run(run).ExitCode, "exit code");
        Check.That(Directory.EnumerateFileSystemEntries(Path.Combine(output, "seed-42", "checkpoints")).Any(), "the checkpoints are there");
        Directory.Delete(inTheWay);
        ReftProcess.Run(run).Succeeded();
        Check.That(!Directory.Exists(Path.Combine(output, "seed-42", "checkpoints")), "and are removed once the result is written");
    }

    private static void ChosenVariant()
    {
        using var folder = TinyLlama.NewFolder();
        var file = RepositoryFiles.At("recipes/glue-loreft-roberta-base.json");
        var chosen = ReftProcess.Run("run", file, "--variant", "rte", "--dry-run").Succeeded();
        Check.That(chosen.Output.StartsWith("glue-loreft-roberta-base-rte: ", StringComparison.Ordinal), chosen.Output);
        ReftProcess.Run("run", file, "--dry-run").FailedWith(1, "several recipes", "--variant: mnli, ", "rte");
        ReftProcess.Run("run", file, "--variant", "nope", "--dry-run").FailedWith(1, "'nope'", "--variant: mnli, ");
        ReftProcess.Run("run", Recipe(folder, Loreft), "--variant", "rte", "--dry-run").FailedWith(1, "no variants");
        ReftProcess.Run("run", "glue-loreft-roberta-base", "--variant", "rte", "--dry-run").FailedWith(1, "no file glue-loreft-roberta-base", "--list");
    }

    private static void NotMixed()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        var data = Data(folder, rows: 1);
        string[] run = [.. Run(model, Recipe(folder, Loreft), data, folder.File("out")), "--datasets", "boolq", "--max-train", "4"];
        ReftProcess.Run(run).Succeeded();
        Refused(ReftProcess.Run([.. run, "--set", "training.learning_rate=0.5"]), "other settings", "'settings.training.learning_rate' was 0.001 and is 0.5");
        Refused(ReftProcess.Run([.. run[..^1], "5"]), "'max_train' was 4 and is 5");
        File.AppendAllText(Path.Combine(data, "boolq", "test.json"), "\n");
        Refused(ReftProcess.Run(run), "boolq", "has changed");
    }

    private static void Refused(Outcome outcome, params string[] parts)
    {
        Check.Equal(1, outcome.ExitCode, "exit code");
        foreach (var part in parts)
        {
            Check.That(outcome.Errors.Contains(part, StringComparison.Ordinal), $"expected '{part}', found: {outcome.Errors}");
        }
    }

    private static void MissingFiles()
    {
        using var folder = TinyLlama.NewFolder();
        var data = Data(folder);
        var recipe = Recipe(folder, Loreft);
        Directory.Delete(Path.Combine(data, "boolq"), recursive: true);
        Directory.Delete(Path.Combine(data, "commonsense_170k"), recursive: true);

        // The model is not even looked for.
        ReftProcess.Run("run", recipe, "--model", folder.File("no-model"), "--data", data, "--output", folder.File("out")).FailedWith(
            1, "lacks 2 of the files", "commonsense_170k/train.json", "LLM-Adapters: ft-training_set/commonsense_170k.json", "boolq/test.json");
        Check.That(!Directory.Exists(folder.File("out")), "no output folder is left");
        ReftProcess.Run("run", recipe, "--model", folder.File("no-model"), "--data", data, "--datasets", "boolq,mmlu").FailedWith(1, "'mmlu'", "hellaswag");
        ReftProcess.Run("run", "glue-loreft-roberta-base-rte", "--model", folder.File("no-model"), "--data", data).FailedWith(1, "RTE", "train.tsv");

        var damaged = Data(folder);
        File.WriteAllText(Path.Combine(damaged, "piqa", "test.json"), """[{"instruction": "a", "answer": "solution1"}, {"answer": "solution2"}]""");
        ReftProcess.Run("run", recipe, "--model", folder.File("no-model"), "--data", damaged).FailedWith(1, "piqa", "row 2", "'instruction'");

        // A method that there is not is refused before files or a model are looked for, and layers that the model has not before a run is begun.
        string[] nowhere = ["run", recipe, "--model", folder.File("no-model"), "--data", folder.File("no-data")];
        ReftProcess.Run([.. nowhere, "--set", "method.name=lorefft"]).FailedWith(1, "'method'", "lorefft");
        ReftProcess.Run([.. nowhere, "--set", "method.options.colour=blue"]).FailedWith(1, "'method'", "colour");
        using var model = TinyLlama.WithTokenizer();
        Refused(ReftProcess.Run([.. Run(model, recipe, Data(folder), folder.File("out")), "--set", "method.layers=99"]), "99");
        Check.That(!Directory.Exists(folder.File("out")), "no run is begun");
    }

    private static void ListAndDryRun()
    {
        using var folder = TinyLlama.NewFolder();
        var list = ReftProcess.Run("run", "--list").Succeeded().Lines;
        Check.Equal(Reft.Recipe.All.Count, list.Length, "one line each");
        Check.That(list.Any(line => line.StartsWith("commonsense-loreft-llama-7b ", StringComparison.Ordinal)), "by name");
        var json = ReftProcess.Run("run", "--list", "--json").Succeeded().Json;
        Check.Equal(8, json.First(line => line.GetProperty("name").GetString() == "arithmetic-direft-llama-7b").GetProperty("unknown").GetArrayLength(), "not known");

        var data = Data(folder);
        var dry = ReftProcess.Run("run", "commonsense-loreft-llama-7b", "--dry-run", "--data", data, "--set", "training.epochs=2", "--json").Succeeded().Json.Single();
        Check.Equal(2, dry.GetProperty("settings").GetProperty("training").GetProperty("epochs").GetInt32(), "what is set");
        Check.Equal(9, dry.GetProperty("files").GetArrayLength(), "files");
        Check.Equal(JsonValueKind.Null, dry.GetProperty("missing").ValueKind, "nothing is missing");
        var text = ReftProcess.Run("run", "arithmetic-direft-llama-7b", "--dry-run", "--data", data).Succeeded().Output;
        Check.That(
            text.Contains("not known  training.learning_rate", StringComparison.Ordinal) && text.Contains("missing", StringComparison.Ordinal)
            && text.Contains("seeds      42, 43, 44", StringComparison.Ordinal),
            text);
        Check.That(!Directory.Exists("runs"), "a dry run writes nothing");
    }

    private static void Instructions()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("alpaca_data.json"), """[{"instruction": "a", "input": "", "output": "b"}, {"instruction": "c", "input": "d", "output": "e"}]""");
        File.WriteAllText(folder.File("alpaca_eval.json"), """[{"instruction": "Hi", "output": "x", "generator": "y", "dataset": "z"}]""");
        var output = folder.File("out");
        // Alpaca's prompt is longer than this model's context: it is cut, and nothing is left to learn.
        Refused(
            ReftProcess.Run("run", "alpaca-loreft", "--model", model.Path, "--data", folder.Path, "--output", output, "--set", "method.layers=1"),
            "token");
        // Positions are computed, not stored: another context is a matter of the configuration.
        var config = JsonNode.Parse(File.ReadAllText(model.File("config.json")))!;
        config["max_position_embeddings"] = 512;
        File.WriteAllText(model.File("config.json"), config.ToJsonString());
        var run = ReftProcess.Run(
            "run", "alpaca-loreft", "--model", model.Path, "--data", folder.Path, "--output", output, "--set", "method.layers=1",
            "--set", "training.epochs=1", "--set", "decoding.max_length=180").Succeeded();
        using var answers = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "seed-42", "alpaca_eval.json")));
        var answer = answers.RootElement[0];
        Check.Same(["instruction", "output", "generator", "dataset"], answer.EnumerateObject().Select(p => p.Name), "fields");
        Check.Equal("Hi", answer.GetProperty("instruction").GetString(), "instruction");
        Check.Equal("alpaca-loreft", answer.GetProperty("generator").GetString(), "generator");
        Check.That(run.Lines[1].Contains("written", StringComparison.Ordinal), $"no score is made up: {run.Output}");

        // Answers that are gone are generated again; results that nothing describes are no one's.
        string[] again =
        [
            "run", "alpaca-loreft", "--model", model.Path, "--data", folder.Path, "--output", output, "--set", "method.layers=1",
            "--set", "training.epochs=1", "--set", "decoding.max_length=180",
        ];
        var answered = Path.Combine(output, "seed-42", "alpaca_eval.json");
        var before = File.ReadAllText(answered);
        File.Delete(answered);
        ReftProcess.Run(again).Succeeded();
        Check.Equal(before, File.ReadAllText(answered), "the same answers");
        using var results = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "results.json")));
        Check.Equal("bfloat16", results.RootElement.GetProperty("dtype").GetString(), "the dtype in which it ran");
        File.Delete(Path.Combine(output, "run.json"));
        Refused(ReftProcess.Run(again), "run.json");
    }

    private static void Glue()
    {
        using var model = TinyLlama.WithTokenizer();
        using var folder = TinyLlama.NewFolder();
        foreach (var (name, count) in new[] { ("train", 24), ("dev", 12) })
        {
            Directory.CreateDirectory(folder.File("RTE"));
            File.WriteAllLines(Path.Combine(folder.File("RTE"), $"{name}.tsv"),
            [
                "index\tsentence1\tsentence2\tlabel",
                .. Enumerable.Range(0, count).Select(i => $"{i}\tNumber {i} is {(i % 2 == 0 ? "even" : "odd")}.{(i is >= 4 and < 12 ? new string('!', 150) : "")}\tIt is even.\t{(i % 2 == 0 ? "entailment" : "not_entailment")}"),
            ]);
        }

        var output = folder.File("out");
        var run = ReftProcess.Run(
            "run", "glue-loreft-roberta-base-rte", "--model", model.Path, "--data", folder.Path, "--output", output, "--seeds", "42,43",
            "--set", "training.epochs=3", "--set", "training.batch_size=4").Succeeded();
        var result = Result(output, 42);
        var score = result.GetProperty("datasets")[0];
        Check.Equal("accuracy", score.GetProperty("metric").GetString(), "metric");
        Check.Equal(6, score.GetProperty("rows").GetInt32(), "half of the validation rows");
        Check.Equal(24, result.GetProperty("trained_rows").GetInt32(), "trained rows");
        using var answers = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "seed-42", "rte.json")));
        var right = answers.RootElement.EnumerateArray().Count(answer =>
            answer.GetProperty("generation").GetString() == answer.GetProperty("answer").GetString());
        var accuracy = score.GetProperty("score").GetDouble();
        Check.Equal(Math.Round(100.0 * right / 6, 9), Math.Round(accuracy, 9), "the score is that of the answers");
        Check.That(
            score.GetProperty("low").GetDouble() <= accuracy && accuracy <= score.GetProperty("high").GetDouble(), "an interval around the accuracy");

        // One token each for the beginning and every character; the model's context is shorter than the recipe's 256.
        var context = JsonNode.Parse(File.ReadAllText(model.File("config.json")))!["max_position_embeddings"]!.GetValue<int>();
        var cut = answers.RootElement.EnumerateArray().Count(answer =>
            1 + answer.GetProperty("text").GetString()!.Length + answer.GetProperty("text_pair").GetString()!.Length > context);
        Check.That(context < 150 && cut > 0, "some rows are longer than the context");
        Check.Equal(cut, score.GetProperty("cut_prompts").GetInt32(), "rows that were cut");
        Check.That(run.Lines[1].EndsWith("79.0", StringComparison.Ordinal), $"the paper's figure: {run.Output}");
    }

    private static void Refusals()
    {
        ReftProcess.Run("run").FailedWith(2, "RECIPE", "--list");
        ReftProcess.Run("run", "commonsense-loreft-llama-7b", "--model", "x").FailedWith(2, "--data");
        ReftProcess.Run("run", "nope", "--dry-run").FailedWith(1, "'nope'", "--list");
        ReftProcess.Run("run", "commonsense-loreft-llama-7b", "--dry-run", "--set", "training.epoch=3").FailedWith(1, "'training.epoch'");
        ReftProcess.Run("run", "commonsense-loreft-llama-7b", "--dry-run", "--set", "epochs").FailedWith(1, "KEY=VALUE", "'epochs'");
        ReftProcess.Run("run", "commonsense-direft-llama-7b", "--model", "x", "--data", "y").FailedWith(1, "does not know", "training.learning_rate");
    }
}
