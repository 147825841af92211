using System.Globalization;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Cli;

/// <summary><c>reft</c> as a process: what it prints, where, and how it ends.</summary>
public static class CommandTests
{
    /// <summary>The commands.</summary>
    [Tests]
    public static readonly Test Commands = Runner.TestList(
        "The command line",
        [
            Runner.TestCase("score gives the reference's log-probabilities", ScoresGoldenRows),
            Runner.TestCase("train, inspect, generate and score with the adapter", TrainsAndUses),
            Runner.TestCase("adapters act together, scaled", AdaptersTogether),
            Runner.TestCase("int8 weights take less and score about the same", EightBitWeights),
            Runner.TestCase("inspect shows own, combined and windowed interventions by name, without a registry", InspectsEverything),
            Runner.TestCase("train takes any method and its options", TrainsAnyMethod),
            Runner.TestCase("train and classify: labels", Classifies),
            Runner.TestCase("train and classify: numbers", Regresses),
            Runner.TestCase("prompts and texts, with a tokenizer", Texts),
            Runner.TestCase("generate draws, searches, stops and forbids as it is told", Decoding),
            Runner.TestCase("tokenize gives Hugging Face's ids", Tokenizes),
            Runner.TestCase("an interrupt keeps the steps taken and exits with 130", Interrupted),
            Runner.TestCase("an interrupt before the first step saves nothing", InterruptedEarly),
            Runner.TestCase("a reader that stops early ends it quietly", ClosedPipe),
            Runner.TestCase("help and version load no native library", HelpIsLight),
            Runner.TestCase("docs/cli.md shows the help that there is", DocumentedHelp),
            Runner.TestCase("wrong command lines end with 2 and one line", UsageErrors),
            Runner.TestCase("wrong files end with 1 and one line", FileErrors),
            Runner.TestCase("names in files give the terminal no commands", NoTerminalCommands),
            Runner.TestCase("runs that cannot be trained leave no folder", TrainingErrors),
        ]);

    private static void ScoresGoldenRows()
    {
        using var folder = TinyLlama.NewFolder();
        var golden = GoldenRows.Read();
        var input = Write(folder, "rows.jsonl", golden.Select(row => $$"""{"input_ids": [{{string.Join(", ", row.Ids)}}]}"""));

        // A machine whose language writes 1,5 must not change the output.
        var lines = ReftProcess.Run(["score", "--model", TinyLlama.Folder, "--input", input, "--json"], [("LC_ALL", "de_DE.UTF-8")])
            .Succeeded().Json;
        Check.Equal(golden.Count, lines.Count, "one line per row");
        using var model = ReftModel.Load(TinyLlama.Folder);
        var own = model.Score(DataRow.FromJsonLines(input, RowUse.Score)).ToArray();
        for (var i = 0; i < golden.Count; i++)
        {
            Check.Same(golden[i].Ids, Integers(lines[i], "input_ids"), "ids");
            double[] found = [.. lines[i].GetProperty("logprobs").EnumerateArray().Select(value => value.GetDouble())];
            Check.Equal(golden[i].LogProbs.Length, found.Length, "n − 1 values");
            var error = Norm(found.Zip(golden[i].LogProbs, (a, b) => a - b)) / Math.Max(Norm(golden[i].LogProbs), 1e-12);
            Check.That(error < 1e-4, $"row {i}: expected a relative error < 1e-4, found {error}");

            var loss = lines[i].GetProperty("loss");
            Check.Equal(own[i].Loss, loss.ValueKind == JsonValueKind.Null ? null : loss.GetDouble(), "loss, to the last digit");
            Check.Same(
                own[i].LogProbs,
                lines[i].GetProperty("logprobs").EnumerateArray().Select(value => value.GetSingle()),
                "log-probabilities, to the last digit");
        }

        static double Norm(IEnumerable<double> values) => Math.Sqrt(values.Sum(value => value * value));
    }

    private static void AdaptersTogether()
    {
        using var folder = TinyLlama.NewFolder();
        var (data, a, b) = (TrainingFile(folder, 8), folder.File("a"), folder.File("b"));
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        model.SaveAdapter(a);
        model.Attach(TinyLlama.Spec, seed: 1).SaveAdapter(b);
        model.LoadAdapters([new(a), new(b)]);
        Check.Same(Own(), Losses("--adapter", a, "--adapter", b), "losses of both");
        model.ScaleEdits(-0.5);
        Check.Same(Own(), Losses("--adapter", a, "--adapter", b, "--edit-scale", "-0.5"), "losses of both, scaled");
        model.Detach();
        Check.Same(Own(), Losses("--adapter", b, "--edit-scale", "0"), "losses of one that is switched off");
        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--input", data, "--edit-scale", "2").FailedWith(2, "--edit-scale", "--adapter DIR");
        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--input", data, "--adapter", a, "--edit-scale", "NaN").FailedWith(2, "--edit-scale", "NaN");

        double?[] Own() => [.. model.Score(DataRow.FromJsonLines(data, RowUse.Score)).Select(score => score.Loss)];

        double?[] Losses(params string[] options) =>
            [.. ReftProcess.Run(["score", "--model", TinyLlama.Folder, "--input", data, "--json", .. options]).Succeeded().Json
                .Select(line => line.GetProperty("loss"))
                .Select(loss => loss.ValueKind == JsonValueKind.Null ? (double?)null : loss.GetDouble())];
    }

    private static void EightBitWeights()
    {
        using var folder = TinyLlama.NewFolder();
        var input = Write(folder, "rows.jsonl", GoldenRows.Read().Select(row => $$"""{"input_ids": [{{string.Join(", ", row.Ids)}}]}"""));
        var stored = Losses("stored");
        var eightBit = Losses("int8");
        Check.That(
            !stored.SequenceEqual(eightBit) && stored.Zip(eightBit).All(pair => Math.Abs(pair.First - pair.Second) < 0.05 * pair.First),
            $"expected losses that differ a little, found {string.Join(", ", stored)} and {string.Join(", ", eightBit)}");

        var whole = Inspected("stored");
        var small = Inspected("int8");
        Check.Equal("int8", small.GetProperty("weights").GetString(), "weights");
        Check.Equal(whole.GetProperty("parameters").GetInt64(), small.GetProperty("parameters").GetInt64(), "parameters");
        Check.That(
            small.GetProperty("weight_bytes").GetInt64() < whole.GetProperty("weight_bytes").GetInt64(), "expected fewer bytes");

        // Both are the same base model.
        var adapter = folder.File("adapter");
        ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", TrainingFile(folder, 16), "--output", adapter,
            "--epochs", "1", "--weights", "int8").Succeeded();
        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", input).Succeeded();

        double[] Losses(string weights) =>
            [.. ReftProcess.Run("score", "--model", TinyLlama.Folder, "--input", input, "--json", "--weights", weights)
                .Succeeded().Json
                .Select(line => line.GetProperty("loss"))
                .Where(loss => loss.ValueKind == JsonValueKind.Number)
                .Select(loss => loss.GetDouble())];

        static JsonElement Inspected(string weights) =>
            ReftProcess.Run("inspect", TinyLlama.Folder, "--json", "--weights", weights).Succeeded().Json.Single();
    }

    private static void Classifies()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Enumerable.Range(0, 24).Select(i => string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"input_ids": [1, {{30 + i}}, {{100 + (i % 2)}}, {{60 + i}}], "label": "{{(i % 2 == 0 ? "even" : "odd")}}"}"""));
        var data = Write(folder, "rows.jsonl", rows);
        var adapter = folder.File("adapter");
        string[] train =
        [
            "train", "--model", TinyLlama.Folder, "--data", data, "--output", adapter,
            "--layers", "1;2", "--positions", "all", "--lr", "2e-2", "--epochs", "12", "--json",
        ];
        string[] classifier = [.. train, "--task", "classification"];
        var outcome = ReftProcess.Run([.. classifier, "--eval-data", data]).Succeeded().Json.Single();
        Check.Equal(2 * 64, outcome.GetProperty("head_parameters").GetInt32(), "the head's parameters, apart");
        Check.Equal(2 * (256 + 256 + 4), outcome.GetProperty("trainable_parameters").GetInt32(), "the interventions' parameters");
        Check.Same(["even", "odd"], outcome.GetProperty("labels").EnumerateArray().Select(label => label.GetString()!), "labels");
        var accuracy = outcome.GetProperty("evaluation").GetProperty("accuracy").GetProperty("after").GetDouble();
        Check.That(accuracy > 0.9, $"expected the task to be learnt, found an accuracy of {accuracy}");

        var head = ReftProcess.Run("inspect", adapter, "--json").Succeeded().Json.Single().GetProperty("head");
        Check.Equal("single_label", head.GetProperty("problem").GetString(), "the head's problem");
        string[] classify = ["classify", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", data, "--batch-size", "5"];
        var found = ReftProcess.Run([.. classify, "--json"]).Succeeded().Json;
        Check.Equal(24, found.Count, "one line per row");
        Check.That(found.Where((row, i) => row.GetProperty("label").GetString() == (i % 2 == 0 ? "even" : "odd")).Count() > 21, "labels");
        Check.That(
            Math.Abs(found[0].GetProperty("scores").EnumerateObject().Sum(score => score.Value.GetDouble()) - 1) < 1e-6, "probabilities add up to 1");
        Check.That(ReftProcess.Run(classify).Succeeded().Output.Split('\n')[0].StartsWith("even\teven ", StringComparison.Ordinal), "a line for people");

        var evaluated = ReftProcess.Run([.. classify, "--json", "--evaluate"]).Succeeded().Json[^1].GetProperty("evaluation");
        Check.Equal(accuracy, evaluated.GetProperty("accuracy").GetDouble(), "the accuracy again");
        foreach (var metric in new[] { "f1", "matthews" })
        {
            Check.Equal(
                outcome.GetProperty("evaluation").GetProperty(metric).GetProperty("after").GetDouble(),
                evaluated.GetProperty(metric).GetDouble(), metric);
        }

        var unknown = ReftProcess.Run([.. classifier, "--labels", "even,uneven"]);
        Check.Equal((1, ""), (unknown.ExitCode, unknown.Output), "a row of another label");
        Check.That(
            unknown.Errors.Contains("rows.jsonl:2: field 'label': expected one of even, uneven, or its number, found 'odd'", StringComparison.Ordinal),
            $"the row is named, found: {unknown.Errors}");
        ReftProcess.Run([.. classifier, "--head", "frozen"]).FailedWith(1, "random head must be trained");
        ReftProcess.Run([.. train, "--task", "summaries"]).FailedWith(2, "summaries");
        ReftProcess.Run([.. train, "--labels", "a,b"]).FailedWith(1, "--labels");
        ReftProcess.Run("classify", "--model", TinyLlama.Folder, "--input", data).FailedWith(1, "no classification head");
    }

    private static void Regresses()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Enumerable.Range(0, 16).Select(i => string.Create(
            CultureInfo.InvariantCulture, $$"""{"input_ids": [1, {{30 + i}}, {{100 + (i % 2)}}], "label": {{(i % 2) - 0.5}}}"""));
        var data = Write(folder, "rows.jsonl", rows);
        var adapter = folder.File("adapter");
        var outcome = ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--task", "regression", "--data", data, "--eval-data", data, "--output", adapter,
            "--layers", "1;2", "--positions", "all", "--lr", "2e-2", "--epochs", "12", "--json").Succeeded().Json.Single();
        Check.That(outcome.GetProperty("evaluation").GetProperty("pearson").GetProperty("after").GetDouble() > 0.8, $"a correlation: {outcome}");
        var found = ReftProcess.Run("classify", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", data, "--json").Succeeded().Json;
        Check.That(
            found[1].GetProperty("value").GetDouble() > found[0].GetProperty("value").GetDouble() && found[0].GetProperty("label").ValueKind == JsonValueKind.Null,
            "numbers and no labels");
    }

    private static void TrainsAndUses()
    {
        using var folder = TinyLlama.NewFolder();
        var data = TrainingFile(folder, 16);
        var adapter = folder.File("adapter");
        var trained = ReftProcess.Run(
            "train", "--model", TinyLlama.Folder, "--data", data, "--eval-data", data, "--output", adapter,
            "--layers", "1;2", "--positions", "f2+l2", "--rank", "3", "--lr", "1e-2", "--epochs", "6", "--json").Succeeded();
        var outcome = trained.Json.Single();
        Check.Equal(12, outcome.GetProperty("steps").GetInt32(), "steps");
        Check.Equal(12, outcome.GetProperty("losses").GetArrayLength(), "losses");
        Check.Equal(1, outcome.GetProperty("skipped_rows").GetInt32(), "skipped rows");
        var evaluation = outcome.GetProperty("evaluation");
        Check.That(
            evaluation.GetProperty("after").GetDouble() < evaluation.GetProperty("before").GetDouble() - 0.5,
            $"expected the loss to fall, found {evaluation}");
        Check.That(trained.Errors.Contains("step 12/12", StringComparison.Ordinal), $"expected progress on stderr, found: {trained.Errors}");

        var inspected = ReftProcess.Run("inspect", adapter, "--json").Succeeded().Json.Single();
        Check.Equal("adapter", inspected.GetProperty("kind").GetString(), "kind");
        Check.Same(
            ["layers.1.block_output", "layers.2.block_output"],
            inspected.GetProperty("sites").EnumerateArray().Select(site => site.GetProperty("site").GetString()!),
            "sites");
        Check.Equal("groups", inspected.GetProperty("sites")[0].GetProperty("tying").GetString(), "untied by default");
        foreach (var name in new[] { "trainable_parameters", "base_parameters", "trainable_percent" })
        {
            Check.Equal(outcome.GetProperty(name).GetDouble(), inspected.GetProperty(name).GetDouble(), name);
        }

        var generated = ReftProcess.Run(
            "generate", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", data, "--max-new-tokens", "3", "--ignore-eos", "--json")
            .Succeeded().Json;
        using var model = ReftModel.Load(TinyLlama.Folder).LoadAdapter(adapter);
        var rows = DataRow.FromJsonLines(data, RowUse.Generate);
        var expected = model.GenerateRows(rows, new GenerationOptions { MaxNewTokens = 3, IgnoreEos = true }).ToArray();
        Check.Equal(rows.Count, generated.Count, "one line per row");
        for (var i = 0; i < rows.Count; i++)
        {
            Check.Same(expected[i].TokenIds, Integers(generated[i], "token_ids"), "tokens");
            Check.Equal(JsonValueKind.Null, generated[i].GetProperty("text").ValueKind, "text without a tokenizer");
        }

        var score = ReftProcess.Run("score", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", data).Succeeded();
        Check.Equal(rows.Count + 1, score.Lines.Length, "a line per row, and one for all");
    }

    private static void Decoding()
    {
        using var model = TinyLlama.WithTokenizer();
        string[] options = ["generate", "--model", model.Path, "--prompt", "@abc", "--max-new-tokens", "24", "--ignore-eos"];
        var json = ReftProcess.Run([.. options, "--json"]).Succeeded().Json.Single();
        var text = json.GetProperty("text").GetString()!;
        Check.Equal("length", json.GetProperty("finish").GetString(), "why it ends");
        var stopped = ReftProcess.Run([.. options, "--stop", "§", "--stop", text[2..4]]).Succeeded().Output;
        Check.Equal(text[..text.IndexOf(text[2..4], StringComparison.Ordinal)] + "\n", stopped, "the text before a stop string");
        string[] beams = [.. options, "--beams", "3", "--return-sequences", "2", "--length-penalty", "0.5", "--early-stopping", "never"];
        var best = ReftProcess.Run([.. beams, "--json"]).Succeeded().Json.Single();
        var other = best.GetProperty("alternatives").EnumerateArray().Single();
        Check.That(best.GetProperty("score").GetDouble() >= other.GetProperty("score").GetDouble(), "best first");
        Check.Equal(
            $"{best.GetProperty("text")}\n{other.GetProperty("text")}\n", ReftProcess.Run(beams).Succeeded().Output, "a line for each text");
        string[] drawn = [.. options, "--temperature", "0.8", "--top-k", "50", "--top-p", "0.9", "--min-p", "0.01", "--seed", "5"];
        var sample = ReftProcess.Run([.. drawn, "--json"]).Succeeded().Json.Single();
        Check.Equal(sample.GetProperty("text").GetString() + "\n", ReftProcess.Run(drawn).Succeeded().Output, "a drawn text");
        var visible = text.First(character => character > ' ');
        string[] forbidding =
            [.. options, "--ban", visible.ToString(), "--repetition-penalty", "1.2", "--no-repeat-ngram", "2", "--min-new-tokens", "3"];
        Check.That(
            !ReftProcess.Run(forbidding).Succeeded().Output.Contains(visible, StringComparison.Ordinal), "a banned text");
        ReftProcess.Run([.. options, "--seed", "1"]).FailedWith(2, "--temperature", "--seed");
        ReftProcess.Run([.. options, "--early-stopping", "true"]).FailedWith(2, "--beams", "--early-stopping");
        ReftProcess.Run([.. options, "--beams", "2", "--early-stopping", "soon"]).FailedWith(2, "--early-stopping", "'soon'");
        ReftProcess.Run([.. options, "--beams", "0"]).FailedWith(2, "--beams", "'0'");
        ReftProcess.Run([.. options, "--beams", "2", "--return-sequences", "x"]).FailedWith(2, "--return-sequences", "'x'");
        ReftProcess.Run([.. options, "--temperature", "1e-300"]).FailedWith(1, "emperature", "1e-6");
        ReftProcess.Run([.. options, "--beams", "2", "--return-sequences", "3"]).FailedWith(2, "--return-sequences", "2", "3");
        ReftProcess.Run([.. options, "--top-p", "0"]).FailedWith(2, "--top-p", "'0'");
    }

    private static void Texts()
    {
        using var model = TinyLlama.WithTokenizer();
        var options = new[] { "generate", "--model", model.Path, "--prompt", "@abc", "--max-new-tokens", "6", "--ignore-eos" };
        var json = ReftProcess.Run([.. options, "--json"]).Succeeded().Json.Single();
        Check.Equal(6, json.GetProperty("token_ids").GetArrayLength(), "new tokens");
        Check.Equal(json.GetProperty("text").GetString() + "\n", ReftProcess.Run(options).Succeeded().Output, "the text alone");

        var input = Write(model, "rows.jsonl", ["""{"prompt": "ab", "completion": "c"}""", """{"text": "abc"}"""]);
        var scores = ReftProcess.Run("score", "--model", model.Path, "--input", input, "--json").Succeeded().Json;
        Check.Same(Integers(scores[0], "input_ids"), Integers(scores[1], "input_ids"), "ids");
        Check.Equal(
            -(double)scores[0].GetProperty("logprobs")[2].GetSingle(), scores[0].GetProperty("loss").GetDouble(), "the completion alone is scored");
    }

    private static void Tokenizes()
    {
        foreach (var name in new[] { "own_roberta", "own_metaspace_bytefallback", "own_wordpiece" })
        {
            var golden = RepositoryFiles.At("tests/golden/f_tokenizers/" + name);
            var input = Path.Combine(golden, "cases.jsonl");
            JsonElement[] cases = [.. File.ReadLines(input).Select(line => JsonDocument.Parse(line).RootElement)];
            var found = ReftProcess.Run("tokenize", golden, "--input", input, "--json").Succeeded().Json;
            Check.Equal(cases.Length, found.Count, "one line per row");
            var bare = ReftProcess.Run("tokenize", Path.Combine(golden, "tokenizer.json"), "--input", input, "--no-special", "--json")
                .Succeeded().Json;
            for (var i = 0; i < cases.Length; i++)
            {
                Check.Same(Integers(cases[i], "ids"), Integers(found[i], "ids"), $"{name}, ids {i}");
                Check.Equal(cases[i].GetProperty("decoded").GetString(), found[i].GetProperty("decoded").GetString(), $"{name}, decoded {i}");
                Check.Same(Integers(cases[i], "ids_without_special"), Integers(bare[i], "ids"), $"{name}, bare ids {i}");
            }
        }

        using var folder = TinyLlama.NewFolder();
        var rows = Write(folder, "rows.jsonl", ["""{"input_ids": [1, 2]}"""]);
        ReftProcess.Run("tokenize", folder.Path, "--input", rows).FailedWith(1, "tokenizer.json", "tokenizer.model");
        ReftProcess.Run("tokenize", RepositoryFiles.At("tests/golden/f_tokenizers/own_roberta"), "--input", rows)
            .FailedWith(1, "rows.jsonl:1", "'text'");
    }

    private static void Interrupted()
    {
        using var folder = TinyLlama.NewFolder();
        var adapter = folder.File("adapter");
        var stopped = ReftProcess.Interrupt(
            "step ",
            "train", "--model", TinyLlama.Folder, "--data", TrainingFile(folder, 16), "--output", adapter, "--epochs", "1000000", "--json");
        Check.Equal(130, stopped.ExitCode, "exit code");
        Check.That(stopped.Errors.Contains("its adapter is saved", StringComparison.Ordinal), $"expected it to say so, found: {stopped.Errors}");
        Check.That(stopped.Json.Single().GetProperty("cancelled").GetBoolean(), "expected 'cancelled' in the outcome");
        using var model = ReftModel.Load(TinyLlama.Folder).LoadAdapter(adapter);
        Check.Equal(4, model.Describe().Placements.Count, "placements of the loaded adapter");
    }

    private static void InterruptedEarly()
    {
        using var folder = TinyLlama.NewFolder();
        var adapter = folder.File(Path.Combine("new", "adapter"));
        var heldOut = Write(folder, "heldout.jsonl", Enumerable.Repeat("""{"input_ids": [1, 2, 3], "prompt_length": 2}""", 50_000));
        var stopped = ReftProcess.Interrupt(
            "measuring",
            "train", "--model", TinyLlama.Folder, "--data", TrainingFile(folder, 16), "--eval-data", heldOut, "--output", adapter, "--batch-size", "1");
        Check.Equal(130, stopped.ExitCode, "exit code");
        Check.That(stopped.Errors.Contains("nothing is saved", StringComparison.Ordinal), $"expected it to say so, found: {stopped.Errors}");
        Check.That(!Directory.Exists(folder.File("new")), "expected no folder of a run that saved nothing");
    }

    private static void ClosedPipe()
    {
        using var folder = TinyLlama.NewFolder();
        var input = Write(folder, "rows.jsonl", Enumerable.Repeat("""{"input_ids": [1, 2, 3]}""", 20_000));
        var (first, outcome) = ReftProcess.ReadOneLine("score", "--model", TinyLlama.Folder, "--input", input, "--json");
        Check.That(first is not null && JsonDocument.Parse(first).RootElement.GetProperty("logprobs").GetArrayLength() == 2, "a first line");
        Check.Equal(141, outcome.ExitCode, "exit code");
        Check.That(!outcome.Errors.Contains("reft:", StringComparison.Ordinal), $"expected no error, found: {outcome.Errors}");
    }

    private static void HelpIsLight()
    {
        using var folder = TinyLlama.NewFolder();
        string[][] light = [["--version"], ["--help"], ["train", "--help"], ["generate", "--help"], ["score", "--help"], ["inspect", "--help"], ["tokenize", "--help"],
            ["tokenize", RepositoryFiles.At("tests/golden/f_tokenizers/own_roberta"), "--input", Write(folder, "text.jsonl", ["""{"text": "Hello"}"""])]];
        foreach (var arguments in light)
        {
            Check.That(!LoadsTorch(arguments), $"expected `reft {string.Join(' ', arguments)}` to load no libtorch");
        }

        Check.That(LoadsTorch(["inspect", TinyLlama.Folder]), "expected this check to see libtorch where it is loaded");

        // The loader of glibc lists there what it loads.
        bool LoadsTorch(string[] arguments)
        {
            var log = folder.File(Guid.NewGuid().ToString("N"));
            ReftProcess.Run(arguments, [("LD_DEBUG", "files"), ("LD_DEBUG_OUTPUT", log)]).Succeeded();
            return Directory.GetFiles(folder.Path, Path.GetFileName(log) + "*")
                .Any(file => File.ReadAllText(file).Contains("libtorch", StringComparison.Ordinal));
        }
    }

    private static void DocumentedHelp()
    {
        var page = File.ReadAllText(RepositoryFiles.At("docs/cli.md"));
        var blocks = System.Text.RegularExpressions.Regex.Matches(page, "^## ([a-z-]+)\n\n```text\n(.*?)\n```", System.Text.RegularExpressions.RegexOptions.Singleline | System.Text.RegularExpressions.RegexOptions.Multiline);
        Check.That(blocks.Count >= 9, $"expected a block for each command, found {blocks.Count}");
        foreach (System.Text.RegularExpressions.Match block in blocks)
        {
            var help = ReftProcess.Run(block.Groups[1].Value, "--help").Succeeded().Output;
            Check.Equal(help.Trim(), block.Groups[2].Value.Trim(), block.Groups[1].Value);
        }
    }

    private static void UsageErrors()
    {
        string[] train = ["train", "--model", "m", "--data", "d", "--output", "o"];
        ReftProcess.Run().FailedWith(2, "Expected a command: train, compare, generate, score, classify, choose, inspect");
        ReftProcess.Run("score", "--model", "m", "--input", "i", "--bogus").FailedWith(2, "--bogus", "reft score --help");
        ReftProcess.Run([.. train, "--rank", "0"]).FailedWith(2, "--rank", "'0'");
        foreach (var option in new[] { "--rank", "--epochs", "--batch-size", "--max-length" })
        {
            ReftProcess.Run([.. train, option, "2000000000"]).FailedWith(2, option, "1000000", "'2000000000'");
        }

        ReftProcess.Run([.. train, "--lr", "1e30"]).FailedWith(2, "--lr", "1000", "'1e30'");
        ReftProcess.Run([.. train, "--layers", "2,x"]).FailedWith(2, "--layers", "2,x");
        ReftProcess.Run([.. train, "--tie", "--untie"]).FailedWith(2, "--tie", "--untie");
        ReftProcess.Run([.. train, "--method", "lorefd"]).FailedWith(2, "--method", "'lorefd'", "loreft");
        ReftProcess.Run([.. train, "--option", "activation"]).FailedWith(2, "KEY=VALUE", "'activation'");
        ReftProcess.Run([.. train, "--option", "activation=tahn"]).FailedWith(2, "'tahn'", "tanh");
        ReftProcess.Run([.. train, "--option", "colour=blue"]).FailedWith(2, "'colour'", "rank");
        ReftProcess.Run("generate", "--model", "m").FailedWith(2, "--prompt", "--input");
    }

    private static void InspectsEverything()
    {
        using var folder = TinyLlama.NewFolder();
        var shift = Interventions.FromFunc(
            "tanh-shift", new ParameterShapes { { "v", ParameterShapes.Width } }, (p, h) => p["v"] * h.tanh());
        var spec = new ReftSpec()
            .At(Sites.MlpOutput(3), Positions.First(1) + Positions.FromFunc("largest", _ => [2]), (0.5 * Interventions.Loreft(4)) + shift)
            .At(Sites.AttentionValue(1).Heads(1, 2), Positions.All, shift.Dropout(0.1), InterventionPhase.DecodeSteps(2, 5))
            .At(Sites.BlockOutput(0), Positions.Pyreft(3, 2), Interventions.Loreft(8).OnSubspace(0, 3).Then(shift), tying: ParameterTying.Tied)
            .At(Sites.BlockOutput(2), Positions.All, shift, InterventionPhase.Always, sharedAs: "one");
        using (var model = ReftModel.Load(TinyLlama.Folder, spec))
        {
            model.SaveAdapter(folder.Path);
        }

        // No registry, and no libtorch: what an adapter is stands in its reft.json.
        var text = ReftProcess.Run("inspect", folder.Path).Succeeded();
        Check.Same(
            [
                "  layers.3.mlp_output: (0.5 * loreft(rank=4) + custom \"tanh-shift\") at f1+fn:largest, Groups",
                "  layers.1.attention_value.heads.1-2: dropout(0.1) (custom \"tanh-shift\") at all, Groups, phase DecodeSteps(2, 5)",
                "  layers.0.block_output: (onSubspace [0;3] (loreft(rank=8)) >=> custom \"tanh-shift\") at pyreft:f3:l2, Tied",
                "  layers.2.block_output: custom \"tanh-shift\" at all, Groups, phase Always, shared as 'one'",
            ],
            text.Lines[^4..],
            "the placements");

        var sites = ReftProcess.Run("inspect", folder.Path, "--json").Succeeded().Json.Single().GetProperty("sites");
        Check.Equal("f1+fn:largest", sites[0].GetProperty("positions").GetString(), "positions");
        Check.Equal("prompt", sites[0].GetProperty("phase").GetString(), "a phase");
        Check.Equal(2, sites[1].GetProperty("phase").GetProperty("decode_start").GetInt32(), "the window's start");
        Check.Equal(5, sites[1].GetProperty("phase").GetProperty("decode_count").GetInt32(), "the window's count");
        Check.Equal("one", sites[3].GetProperty("shared_as").GetString(), "the shared name");

        // To use it, its own code is needed, and the command line has none.
        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--adapter", folder.Path, "--input", TrainingFile(folder, 2))
            .FailedWith(1, "'largest'", "not registered");
        File.WriteAllText(
            folder.File("reft.json"),
            File.ReadAllText(folder.File("reft.json")).Replace("\"decode_count\": 5", "\"decode_count\": 0", StringComparison.Ordinal));
        ReftProcess.Run("inspect", folder.Path).FailedWith(1, "reft.json", "decode_count");
    }

    private static void TrainsAnyMethod()
    {
        using var folder = TinyLlama.NewFolder();
        var adapter = folder.File("adapter");
        string[] train =
        [
            "train", "--model", TinyLlama.Folder, "--data", TrainingFile(folder, 4), "--output", adapter,
            "--layers", "1", "--positions", "l1", "--epochs", "1", "--json",
        ];
        Check.Equal("loreft(rank=2, activation=relu)", Trained("--rank", "2", "--option", "activation=relu"), "options of the default");
        Check.Equal("loreft(rank=4)", Trained(), "the default");

        string? Trained(params string[] options)
        {
            ReftProcess.Run([.. train, .. options]).Succeeded();
            return AdapterInfo.Read(adapter).Placements.Single().Intervention;
        }
    }

    private static void NoTerminalCommands()
    {
        // A colour and the window's title; C1 has commands of one character.
        const string Evil = "\u001b[31mred\u001b]0;title\u0007\u009b";
        const string Harmless = "?[31mred?]0;title??";
        using var folder = TinyLlama.NewFolder();
        ReftProcess.Run("inspect", folder.File(Evil)).FailedWith(1, Harmless);

        var rows = Write(folder, "rows.jsonl", Enumerable.Range(0, 4).Select(i => JsonSerializer.Serialize(
            new { input_ids = new[] { 1, 30 + i, 20 }, label = i % 2 == 0 ? Evil : "odd" })));
        string[] train = ["train", "--model", TinyLlama.Folder, "--data", rows, "--task", "classification", "--epochs", "1"];
        var refused = ReftProcess.Run([.. train, "--output", folder.File("none"), "--labels", "even,odd"]);
        Check.Equal(1, refused.ExitCode, "exit code");
        Check.That(
            refused.Errors.Contains($"found '{Harmless}'", StringComparison.Ordinal) && !refused.Errors.Contains('\u001b'),
            $"expected the label, found: {refused.Errors}");

        var adapter = folder.File("adapter");
        var trained = ReftProcess.Run([.. train, "--output", adapter]).Succeeded();
        Check.That(!trained.Errors.Contains('\u001b') && !trained.Output.Contains('\u001b'), $"expected no command, found: {trained.Errors}{trained.Output}");
        var shown = ReftProcess.Run("inspect", adapter).Succeeded().Output;
        Check.That(shown.Contains(Harmless, StringComparison.Ordinal), $"expected the label, found: {shown}");
        Check.That(shown.All(c => c == '\n' || !char.IsControl(c)), $"expected no command, found: {shown}");
        Check.Equal(
            Evil,
            ReftProcess.Run("inspect", adapter, "--json").Succeeded().Json.Single().GetProperty("head").GetProperty("labels")[0].GetString(),
            "the label in JSON, as it is");

        var other = Write(folder, "long.jsonl", [JsonSerializer.Serialize(new { input_ids = new[] { 1, 2 }, label = new string('a', 100_000) })]);
        train[4] = other;
        var flood = ReftProcess.Run([.. train, "--output", folder.File("none"), "--labels", "even,odd"]);
        Check.That(flood.Errors.Contains("long.jsonl:1", StringComparison.Ordinal), $"expected the row, found: {flood.Errors}");
        Check.That(flood.Errors.Length < 4200, $"expected a message of bounded length, found {flood.Errors.Length} characters");
    }

    private static void FileErrors()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = Write(folder, "rows.jsonl", ["""{"input_ids": [1, 2]}""", """{"input_ids": [1, "x"]}"""]);
        ReftProcess.Run("score", "--model", TinyLlama.Folder, "--input", rows, "--json").FailedWith(1, "rows.jsonl:2", "input_ids[1]");
        ReftProcess.Run("generate", "--model", TinyLlama.Folder, "--prompt", "abc").FailedWith(1, "--prompt", "tokenizer.json");

        var missing = folder.File("missing");
        ReftProcess.Run("inspect", missing).FailedWith(1, missing, "config.json");

        foreach (var file in Directory.GetFiles(TinyLlama.Folder))
        {
            File.Copy(file, folder.File(Path.GetFileName(file)));
        }

        using (var weights = File.OpenWrite(folder.File("model.safetensors")))
        {
            weights.SetLength(weights.Length / 2);
        }

        ReftProcess.Run("inspect", folder.Path).FailedWith(1, "model.safetensors", "expected");
    }

    private static void TrainingErrors()
    {
        using var folder = TinyLlama.NewFolder();
        var output = folder.File("adapter");
        string[] train = ["train", "--model", TinyLlama.Folder, "--data", TrainingFile(folder, 4), "--output", output];
        ReftProcess.Run([.. train, "--layers", "9"]).FailedWith(1, "layers.9");
        ReftProcess.Run([.. train, "--positions", "f2+f3"]).FailedWith(1, "overlap");
        Check.That(!Directory.Exists(output), "expected no folder of a run that failed");

        var diverged = ReftProcess.Run([.. train, "--lr", "1", "--weight-decay", "1e30", "--batch-size", "1"]);
        Check.Equal(1, diverged.ExitCode, "exit code of a run that diverged");
        Check.That(
            diverged.Errors.TrimEnd().Split('\n')[^1] is var last
                && last.StartsWith("reft: training diverged", StringComparison.Ordinal)
                && last.Contains(output, StringComparison.Ordinal),
            $"expected it to name the saved adapter, found: {diverged.Errors}");
        using var model = ReftModel.Load(TinyLlama.Folder).LoadAdapter(output);
    }

    private static string TrainingFile(TemporaryFolder folder, int rows) =>
        Write(
            folder,
            "train.jsonl",
            [
                .. Enumerable.Range(0, rows).Select(i => string.Create(
                    CultureInfo.InvariantCulture,
                    $$"""{"input_ids": [1, {{30 + i}}, {{60 + (3 * i)}}, {{90 + i}}, {{7 + i}}, 20, 21, 22], "labels": [-100, -100, -100, -100, -100, 20, 21, 22]}""")),
                """{"input_ids": [1, 2], "labels": [-100, -100]}""",
            ]);

    private static string Write(TemporaryFolder folder, string name, IEnumerable<string> lines)
    {
        var path = folder.File(name);
        File.WriteAllLines(path, lines);
        return path;
    }

    private static IEnumerable<int> Integers(JsonElement row, string name) =>
        row.GetProperty(name).EnumerateArray().Select(value => value.GetInt32());
}
