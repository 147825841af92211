using System.Globalization;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Tasks;

/// <summary>The recipes of the paper: all are read, their numbers are the paper's, and damaged ones are refused by the key.</summary>
public static class RecipeTests
{
    /// <summary>Recipes.</summary>
    [Tests]
    public static readonly Test Recipes = Runner.TestList(
        "Recipes",
        [
            Runner.TestCase("all are read, each under its file's name", AllAreRead),
            Runner.TestCase("commonsense and arithmetic are the settings of pyreft's commands", Reasoning),
            Runner.TestCase("UltraFeedback", UltraFeedback),
            .. Glue.Select(c => Runner.TestCase($"GLUE: {c.Name}", () => GlueRow(c))),
            .. Parameters.Select(c => Runner.TestCase($"parameters of {c.Name}", () => Check.Equal<long?>(
                c.Count, Recipe.Named(c.Name).Method.CountParameters(c.Hidden, c.Layers), "trainable numbers"))),
            Runner.TestCase("the paper's share of parameters follows", SharesOfParameters),
            Runner.TestCase("what is not known says so, and is asked for", Unknown),
            Runner.TestCase("settings are set by their keys", Sets),
            Runner.TestCase("the same settings as training options", Options),
            .. Damaged.Select(c => Runner.TestCase($"refused: {c.What}", () => Check.Throws<InvalidDataException>(
                () => Recipe.Parse("own", c.Json), ["own", .. c.Parts]))),
            Runner.TestCase("a file with variants is several recipes", Variants),
        ]);

    private const string Own = """
        {
          // Comments are allowed.
          "title": "t", "task": "commonsense", "base_model": "m", "dtype": "fp32",
          "method": { "name": "loreft", "rank": 2, "layers": "all", "positions": "f1+l1", "tied": true, "short_prompts": "pyreft", "dropout": 0 },
          "training": { "learning_rate": 1e-3, "schedule": "linear", "warmup_ratio": 0, "weight_decay": 0, "batch_size": 2, "accumulation": 1, "epochs": 1, "max_length": 64 },
          "seeds": [1],
          "decoding": { "max_new_tokens": 8 },
          "evaluation_batch_size": 2
        }
        """;

    private static IEnumerable<(string Name, string Positions, double Dropout, double Rate, double Decay, int Batch, double Warmup, int Epochs, double Paper)> Glue =>
    [
        ("glue-loreft-roberta-base-cola", "f3", 0.2, 4e-4, 0, 32, 0.005, 60, 60.4),
        ("glue-loreft-roberta-base-qqp", "f11", 0.05, 6e-4, 0, 32, 0, 40, 87.4),
        ("glue-loreft-roberta-large-stsb", "f3", 0.05, 8e-4, 0, 32, 0.2, 30, 91.6),
        ("glue-loreft-roberta-large-mrpc", "f3", 0.2, 3e-4, 0, 32, 0.06, 30, 90.1),
        ("glue-direft-roberta-base-rte", "f1", 0, 9e-4, 0.04, 8, 0, 60, 76.4),
        ("glue-direft-roberta-base-mnli", "f1", 0.05, 6e-4, 0, 32, 0.06, 40, 82.5),
        ("glue-direft-roberta-large-rte", "f3", 0.05, 6e-4, 0.006, 32, 0, 30, 86.9),
        ("glue-direft-roberta-large-qqp", "f7", 0.05, 9e-4, 0, 32, 0.1, 20, 88.1),
    ];

    // LLaMA-7B: 32 layers of 4096; 13B: 40 of 5120; RoBERTa-base: 12 of 768, large: 24 of 1024.
    private static IEnumerable<(string Name, int Hidden, int Layers, long Count)> Parameters =>
    [
        ("commonsense-loreft-llama-7b", 4096, 32, 2_097_408),
        ("arithmetic-loreft-llama-13b", 5120, 40, 3_277_120),
        ("ultrafeedback-loreft-llama-2-7b", 4096, 32, 262_176),
        ("glue-loreft-roberta-base-mrpc", 768, 12, 18_444),
        ("glue-direft-roberta-base-mrpc", 768, 12, 18_444),
        ("glue-loreft-roberta-large-rte", 1024, 24, 24 * 2049),
        ("gsm8k-tuning-direft-llama-7b", 4096, 32, 2 * 32 * ((2 * 4096 * 4) + 4)),
    ];

    private static IEnumerable<(string What, string Json, string[] Parts)> Damaged =>
    [
        ("an unknown key", Replaced("\"seeds\"", "\"seed\": 3, \"seeds\""), ["'seed'", "there is no such key"]),
        ("an unknown key of a part", Replaced("\"epochs\": 1", "\"epochs\": 1, \"epoch\": 2"), ["'training.epoch'", "there is no such key"]),
        ("a missing key", Replaced("\"epochs\": 1, ", ""), ["'training.epochs'", "missing"]),
        ("a missing part", Replaced("\"method\"", "\"methods\""), ["'method'", "missing"]),
        ("a text for a number", Replaced("\"rank\": 2", "\"rank\": \"two\""), ["'method.rank'", "expected an integer", "\"two\""]),
        ("a fraction for a count", Replaced("\"batch_size\": 2", "\"batch_size\": 2.5"), ["'training.batch_size'", "2.5"]),
        ("a rank of 0", Replaced("\"rank\": 2", "\"rank\": 0"), ["'method.rank'", "1 …", "found 0"]),
        ("a dropout of 1", Replaced("\"dropout\": 0", "\"dropout\": 1"), ["'method.dropout'", "[0, 1)", "found 1"]),
        ("no such schedule", Replaced("\"linear\"", "\"step\""), ["'training.schedule'", "'step'"]),
        ("no such positions", Replaced("f1+l1", "x9"), ["'method.positions'", "x9"]),
        ("no such layers", Replaced("\"layers\": \"all\"", "\"layers\": \"some\""), ["'method.layers'", "some"]),
        ("no such rule", Replaced("\"pyreft\"", "\"none\""), ["'method.short_prompts'", "pyreft or paper"]),
        ("a seed twice", Replaced("[1]", "[1, 1]"), ["'seeds'", "once"]),
        ("no seed", Replaced("[1]", "[]"), ["'seeds'", "an array"]),
        ("both lengths", Replaced("\"max_new_tokens\": 8", "\"max_new_tokens\": 8, \"max_length\": 9"), ["'decoding.max_new_tokens'", "both or neither"]),
        ("an unknown way of decoding", Replaced("\"max_new_tokens\": 8", "\"max_new_tokens\": 8, \"typical_p\": 1"), ["'decoding.typical_p'"]),
        ("a dtype", Replaced("\"fp32\"", "\"fp8\""), ["'dtype'", "'fp8'"]),
        ("no such method", Replaced("\"loreft\"", "\"lorefft\""), ["'method'", "lorefft"]),
        ("no such option", Replaced("\"dropout\": 0", "\"dropout\": 0, \"options\": { \"colour\": \"blue\" }"), ["'method'", "colour"]),
        ("a file of more than 1 MB", Replaced("// Comments", "// " + new string('x', 1_000_000)), ["1 MB at most"]),
        ("too many variants", Variant(1001, "{}"), ["'variants'", "1000 variants at most", "found 1001"]),
        ("variants that are too much together", Variant(1000, "{}", new string('x', 20_000)), ["'variants'", "1000 variants", "16 MB"]),
        ("a key of four parts", Variant(1, """{ "method.options.a.b": 1 }"""), ["'method.options.a.b'", "3 parts at most"]),
        ("a key of very many parts", Variant(1, $$"""{ "a{{new string('.', 500_000)}}": 1 }"""), ["'a....", "…'", "3 parts at most"]),
        ("a key twice", Replaced("\"title\": \"t\"", "\"title\": \"t\", \"title\": \"u\""), ["not valid JSON", "title"]),
        ("no object", "[1]", ["expected a JSON object"]),
        ("no JSON", "{", ["not valid JSON"]),
    ];

    private static string Variant(int count, string settings, string title = "t") =>
        Own.Replace("\"title\": \"t\"", $"\"title\": \"{title}\"", StringComparison.Ordinal).Replace(
            "\"seeds\"",
            $"\"variants\": {{ {string.Join(", ", Enumerable.Range(0, count).Select(i => $"\"v{i}\": {settings}"))} }}, \"seeds\"",
            StringComparison.Ordinal);

    private static string Replaced(string old, string other)
    {
        Check.That(Own.Contains(old, StringComparison.Ordinal), $"the test's recipe holds {old}");
        return Own.Replace(old, other, StringComparison.Ordinal);
    }

    private static void AllAreRead()
    {
        var files = Directory.GetFiles(RepositoryFiles.At("recipes"), "*.json").Select(Path.GetFileNameWithoutExtension).ToArray();
        Check.Equal(4, files.Count(name => name!.StartsWith("glue-", StringComparison.Ordinal)), "files of GLUE");
        Check.Equal(files.Length - 4 + 32, Recipe.All.Count, "recipes within the library");
        foreach (var path in Directory.GetFiles(RepositoryFiles.At("recipes"), "*.json"))
        {
            foreach (var recipe in Recipe.LoadAll(path))
            {
                Check.Equal(Recipe.Named(recipe.Name).ToJson(), recipe.ToJson(), recipe.Name);
                Check.That(recipe.Title.Length is > 10 and < 120, $"{recipe.Name} has a title of one line");
            }
        }

        foreach (var recipe in Recipe.All.Where(recipe => recipe.Paper is { Scores.Count: > 1 } && !recipe.Task.StartsWith("glue", StringComparison.Ordinal)))
        {
            Check.Same(recipe.Datasets, recipe.Paper!.Scores.Keys, $"{recipe.Name}: data sets of the paper's row");
            var mean = recipe.Paper.Scores.Values.Average();
            Check.That(Math.Abs(mean - recipe.Paper.Average!.Value) <= 0.1, $"{recipe.Name}: the row's mean is {mean}, its average {recipe.Paper.Average}");
        }

        Check.Throws<ArgumentException>(() => Recipe.Named("nope"), "'nope'", "--list");
        Check.Throws<FileNotFoundException>(() => Recipe.Load("no/such.json"), "no/such.json");
    }

    private static void Reasoning()
    {
        foreach (var name in new[] { "commonsense-loreft-llama-7b", "commonsense-loreft-llama-3-8b", "arithmetic-loreft-llama-13b" })
        {
            var recipe = Recipe.Named(name);
            Check.Equal(8, recipe.Method.Rank, "rank");
            Check.Equal("f7+l7", recipe.Method.Positions!.ToString(), "positions");
            Check.Equal("all", recipe.Method.Layers.ToString(), "layers");
            Check.That(recipe.Method.Tied && recipe.Method.ShortPrompts == ShortPromptRule.Pyreft, "tied, by pyreft's rule");
            Check.Equal(9e-4, recipe.Training.LearningRate, "learning rate");
            Check.Equal(0.1, recipe.Training.WarmupRatio, "warmup");
            Check.Equal(32, recipe.Training.BatchSize * recipe.Training.Accumulation, "rows of a step");
            Check.Equal(name.StartsWith("commonsense", StringComparison.Ordinal) ? 6 : 12, recipe.Training.Epochs, "epochs");
            Check.Equal(512, recipe.Training.MaxLength, "longest row");
            Check.Same([42L, 43, 44], recipe.Seeds, "seeds");
            Check.Equal(name.StartsWith("commonsense", StringComparison.Ordinal) ? 32 : 512, recipe.Decoding!.MaxNewTokens, "new tokens");
        }

        var commonsense = Recipe.Named("commonsense-loreft-llama-7b").Paper!;
        Check.Equal(80.2, commonsense.Average, "Table 1");
        Check.Equal(93.1, commonsense.Scores["hellaswag"], "HellaSwag");
        Check.Equal(24.1, Recipe.Named("arithmetic-direft-llama-7b").Paper!.Scores["gsm8k"], "Table 2");
        Check.Equal("lora(rank=32, alpha=64", Recipe.Named("arithmetic-lora-llama-7b").Method.ToTuning()!.ToString()[..22], "LoRA");
    }

    private static void UltraFeedback()
    {
        var recipe = Recipe.Named("ultrafeedback-loreft-llama-2-7b");
        Check.Equal("3,9,18,24", recipe.Method.Layers.ToString(), "layers");
        Check.Equal("f5+l5", recipe.Method.Positions!.ToString(), "positions");
        Check.That(!recipe.Method.Tied, "untied");
        Check.Equal(768, recipe.Training.MaxLength, "longest row");
        Check.Equal(128, recipe.Training.BatchSize * recipe.Training.Accumulation, "rows of a step");
        Check.Equal(new RecipeDecoding { MaxLength = 2048, NoRepeatNgram = 5, RepetitionPenalty = 1.1 }, recipe.Decoding, "decoding");
        Check.Equal(1000, Recipe.Named("ultrafeedback-loreft-1k-llama-2-7b").Training.MaxExamples, "1K");
    }

    private static void GlueRow((string Name, string Positions, double Dropout, double Rate, double Decay, int Batch, double Warmup, int Epochs, double Paper) row)
    {
        var recipe = Recipe.Named(row.Name);
        Check.Equal(1, recipe.Method.Rank, "rank");
        Check.Equal(row.Positions, recipe.Method.Positions!.ToString(), "positions");
        Check.Equal(row.Dropout, recipe.Method.Dropout, "dropout");
        Check.Equal(row.Rate, recipe.Training.LearningRate, "learning rate");
        Check.Equal(row.Decay, recipe.Training.WeightDecay, "weight decay");
        Check.Equal(row.Batch, recipe.Training.BatchSize, "batch");
        Check.Equal(row.Warmup, recipe.Training.WarmupRatio, "warmup");
        Check.Equal(row.Epochs, recipe.Training.Epochs, "epochs");
        Check.Equal(row.Paper, recipe.Paper!.Scores.Values.Single(), "Table 4");
        Check.Same([42L, 43, 44, 45, 46], recipe.Seeds, "seeds");
        Check.Equal($"glue/{recipe.Paper.Scores.Keys.Single()}", recipe.Task, "task");
        Check.Equal(row.Name.Contains("direft", StringComparison.Ordinal) ? "direft_paper" : "loreft", recipe.Method.Name, "method");
    }

    private static void SharesOfParameters()
    {
        // Weights of the base models without heads of their own: LLaMA-7B 6,738,415,616; RoBERTa-base 124,645,632 as the paper counts 0.015 %.
        foreach (var (name, hidden, layers, weights) in new[]
        {
            ("commonsense-direft-llama-7b", 4096, 32, 6_738_415_616.0), ("commonsense-loreft-llama-7b", 4096, 32, 6_738_415_616.0),
            ("ultrafeedback-loreft-llama-2-7b", 4096, 32, 6_738_415_616.0), ("glue-loreft-roberta-base-rte", 768, 12, 124_645_632.0),
        })
        {
            var recipe = Recipe.Named(name);
            recipe = recipe.Unknown.ContainsKey("method.positions") ? recipe.With([KeyValuePair.Create("method.positions", "f7+l7")]) : recipe;
            var share = 100 * recipe.Method.CountParameters(hidden, layers)!.Value / weights;
            var digits = recipe.Paper!.ParametersPercent!.Value.ToString(CultureInfo.InvariantCulture).Length - 2;
            Check.Equal(recipe.Paper.ParametersPercent, Math.Round(share, digits), $"{name}: {share}");
        }
    }

    private static void Unknown()
    {
        var recipe = Recipe.Named("commonsense-direft-llama-7b");
        Check.That(recipe.Unknown.ContainsKey("training.learning_rate") && recipe.Training.LearningRate is null, "it is not invented");
        Check.Throws<InvalidOperationException>(
            () => recipe.CheckFiles(new RecipeRunOptions { Data = "none", Output = "none" }), "does not know", "training.learning_rate", "--set");
        var half = Recipe.Named("ultrafeedback-loreft-half-llama-2-7b");
        Check.Same(["method.rank"], half.Unknown.Keys, "not known");
        Check.Equal(0, half.With([KeyValuePair.Create("method.rank", "2")]).Unknown.Count, "known now");
        Check.Equal<long?>(131_088, half.With([KeyValuePair.Create("method.rank", "2")]).Method.CountParameters(4096, 32), "half of 262,176");
    }

    private static void Sets()
    {
        var recipe = Recipe.Parse("own", Own).With(
        [
            KeyValuePair.Create("training.epochs", "3"),
            KeyValuePair.Create("method.positions", "l2"),
            KeyValuePair.Create("decoding.beams", "4"),
            KeyValuePair.Create("method.options.orthonormal", "householder"),
        ]);
        Check.Equal(3, recipe.Training.Epochs, "epochs");
        Check.Equal("l2", recipe.Method.Positions!.ToString(), "positions");
        Check.Equal(4, recipe.Decoding!.Beams, "beams");
        Check.That(recipe.Method.ToSpec().ToString().Contains("householder", StringComparison.Ordinal), "the option reaches the method");
        Check.Throws<InvalidDataException>(() => recipe.With([KeyValuePair.Create("training.epoch", "3")]), "'training.epoch'", "no such key");
        Check.Throws<InvalidDataException>(() => recipe.With([KeyValuePair.Create("title.x", "3")]), "'title.x'", "no such key");
        Check.Throws<InvalidDataException>(() => recipe.With([KeyValuePair.Create("training.epochs", "many")]), "'training.epochs'", "many");
    }

    private static void Options()
    {
        var options = Recipe.Named("commonsense-loreft-llama-7b").Training.ToOptions(43, 256);
        Check.Equal(43L, options.Seed, "seed");
        Check.Equal(256, options.MaxLength, "no more than the model's context");
        Check.Equal(AccumulationWeighting.Equal, options.AccumulationWeighting, "as pyreft's trainer");
        Check.Equal(16, options.BatchSize, "batch");
        var lora = Recipe.Named("commonsense-lora-llama-7b").Training.ToOptions(42, 2048);
        Check.Equal(100, lora.WarmupSteps, "warmup in steps");
        var spec = Recipe.Named("glue-loreft-roberta-base-cola").Method.ToSpec().ToString();
        Check.That(spec.Contains("loreft(rank=1)", StringComparison.Ordinal) && spec.Contains("0.2", StringComparison.Ordinal), spec);
    }

    private static void Variants()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("own.json"), Own.Replace("\"seeds\"", "\"variants\": { \"a\": { \"training.epochs\": 7 }, \"b\": {} }, \"seeds\"", StringComparison.Ordinal));
        var recipes = Recipe.LoadAll(folder.File("own.json"));
        Check.Same(["own-a", "own-b"], recipes.Select(recipe => recipe.Name), "names");
        Check.Same([7, 1], recipes.Select(recipe => recipe.Training.Epochs!.Value), "epochs");
        Check.Throws<InvalidDataException>(() => Recipe.Load(folder.File("own.json")), "several recipes");
        File.WriteAllText(folder.File("large.json"), Own + new string(' ', 1_000_000));
        Check.Throws<InvalidDataException>(() => Recipe.LoadAll(folder.File("large.json")), "large.json", "1 MB at most");
    }
}
