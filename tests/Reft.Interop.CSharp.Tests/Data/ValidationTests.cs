using Expecto;
using Expecto.CSharp;
using Reft.Tests.Cli;

namespace Reft.Tests.Data;

/// <summary>Validation: every bad row of a file, and what the good ones are.</summary>
public static class ValidationTests
{
    private const string Mixed = """
        {"prompt": "ab", "completion": "cd"}
        {"prompt": 1, "completion": "c"}

        {"prompt": "abcdefghij", "completion": "klmnop"}
        not JSON
        {"prompt": "abcdefghijklmnopqrst", "completion": "c"}
        {"prompt": "a"}
        """;

    /// <summary>Validation, from code and from the command line.</summary>
    [Tests]
    public static readonly Test Validation = Runner.TestList(
        "Validation of rows",
        [
            Runner.TestCase("all bad rows are told, with their lines and fields, and the good ones measured", Counts),
            Runner.TestCase("without a model forms alone are checked", FormsAlone),
            Runner.TestCase("a file whose end cannot be reached is told", Broken),
            Runner.TestCase("labels are counted and held against those that are known", Labels),
            Runner.TestCase("ids that the model has not are told", UnknownIds),
            Runner.TestCase("validate-data prints it all and exits with 1", Command),
            Runner.TestCase("validate-data of a good file exits with 0", GoodFile),
            Runner.TestCase("train, score, generate and classify read CSV, Parquet, mapped columns and templates", Commands),
            Runner.TestCase("wrong options of rows", WrongOptions),
        ]);

    private static DataReport Checked(TemporaryFolder folder, string name, string content, ValidationOptions? options = null)
    {
        File.WriteAllText(folder.File(name), content);
        return DataValidation.Check(folder.File(name), null, options);
    }

    private static void Counts()
    {
        using var folder = TinyLlama.WithTokenizer();
        var report = Checked(folder, "rows.jsonl", Mixed, new() { ModelFolder = folder.Path, MaxLength = 16 });
        Check.Equal((6L, 3L, true, false), (report.Rows, report.BadRows, report.IsComplete, report.IsGood), "rows");
        Check.Same([(2L, "prompt"), (4L, null), (6L, "completion")], report.Problems.Select(problem => (problem.Row, problem.Field)), "rows and fields");
        Check.Same([":2", ":5", ":7"], report.Problems.Select(problem => problem.Message[(folder.File("rows.jsonl").Length)..][..2]), "lines");

        // BOS, the characters, EOS: 6, 18 and 23 tokens. Of the second, the completion is cut to 5 of 7; of the third nothing is left.
        Check.Equal((47L, 3L + 5L, 2L, 1L), (report.Tokens!.Value, report.ScoredTokens!.Value, report.TruncatedRows!.Value, report.UnscoredRows!.Value), "tokens");
        Check.Equal(new RowLengths(6, 18, 23, 23, 23), report.Lengths!, "lengths");
        Check.Equal(1, DataValidation.Check(folder.File("rows.jsonl"), null, new() { ProblemLimit = 1 }).Problems.Count, "the limit");
    }

    private static void FormsAlone()
    {
        using var folder = TinyLlama.NewFolder();
        var report = Checked(folder, "rows.jsonl", Mixed);
        Check.Equal((6L, 3L), (report.Rows, report.BadRows), "rows");
        Check.That(report.Tokens is null && report.Lengths is null, "no tokens");
    }

    private static void Broken()
    {
        using var folder = TinyLlama.NewFolder();
        var report = Checked(folder, "rows.csv", "prompt,completion\na,b\n\"a,b\n");
        Check.Equal((1L, 0L, false, false), (report.Rows, report.BadRows, report.IsComplete, report.IsGood), "rows");
        Check.That(report.Problems is [{ Row: 2 } problem] && problem.Message.Contains("rows.csv:3", StringComparison.Ordinal), "the open quote");
    }

    private static void Labels()
    {
        using var folder = TinyLlama.WithTokenizer();
        const string Rows = "text,label\na,x\nb,y\nc,\nd,x\n";
        var report = Checked(folder, "rows.csv", Rows, new() { Problem = ClassifierProblem.SingleLabel, ModelFolder = folder.Path });
        Check.Equal((4L, 1L), (report.Rows, report.BadRows), "rows");
        Check.Equal((2L, 1L), (report.Labels["x"], report.Labels["y"]), "labels");
        var known = Checked(folder, "rows.csv", Rows, new() { Problem = ClassifierProblem.SingleLabel, Labels = ["x", "z"] });
        Check.Same([2L, 3L], known.Problems.Select(problem => problem.Row), "labels that are not known");
        var numbers = Checked(folder, "rows.csv", "text,label\na,0.5\nb,y\n", new() { Problem = ClassifierProblem.Regression });
        Check.Same([2L], numbers.Problems.Select(problem => problem.Row), "no number");
    }

    private static void UnknownIds()
    {
        var ids = """{"input_ids": [1, 999], "prompt_length": 1}""";
        using var folder = TinyLlama.NewFolder();
        var report = Checked(folder, "rows.jsonl", ids, new() { ModelFolder = TinyLlama.Folder });
        Check.That(report.Problems is [{ Field: "input_ids[1]" }], "the id");
        Check.Equal(0L, Checked(folder, "rows.jsonl", ids).BadRows, "no model, no vocabulary");
    }

    private static void Command()
    {
        using var folder = TinyLlama.WithTokenizer();
        File.WriteAllText(folder.File("rows.jsonl"), Mixed);
        var outcome = ReftProcess.Run("validate-data", folder.File("rows.jsonl"), "--model", folder.Path, "--max-length", "16");
        Check.Equal(1, outcome.ExitCode, "exit code");
        foreach (var part in new[] { "rows.jsonl:2: field 'prompt'", "rows.jsonl:5:", "rows            6", "bad rows        3", "scored tokens   8", "truncated rows  2" })
        {
            Check.That(outcome.Output.Contains(part, StringComparison.Ordinal), $"'{part}' in {outcome.Output}");
        }

        var json = ReftProcess.Run("validate-data", folder.File("rows.jsonl"), "--json", "--limit", "2").Json[0];
        Check.Equal((6, 3, 2), (json.GetProperty("rows").GetInt32(), json.GetProperty("bad_rows").GetInt32(), json.GetProperty("problems").GetArrayLength()), "JSON");
    }

    private static void GoodFile()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.csv"), "q,a\n1,2\n");
        Check.Equal(0, ReftProcess.Run("validate-data", folder.File("rows.csv"), "--fields", "prompt=q,completion=a").ExitCode, "exit code");
    }

    private static void Commands()
    {
        using var folder = TinyLlama.WithTokenizer();
        var rows = folder.File("rows.csv");
        File.WriteAllText(rows, "question,answer\n" + string.Concat(Enumerable.Range(0, 6).Select(i => $"q{i},a{i}\n")));
        string[] reading = ["--fields", "completion=answer", "--template", @"Q: {question}\nA:"];
        var adapters = new List<byte[]>();
        foreach (var stream in new[] { false, true })
        {
            ReftProcess.Run(["train", "--model", folder.Path, "--data", rows, "--eval-data", rows, "--output", folder.File("adapter"), "--epochs", "1", "--max-length", "40",
                "--layers", "1", .. reading, .. stream ? ["--stream"] : Array.Empty<string>()]).Succeeded();
            adapters.Add(File.ReadAllBytes(Path.Combine(folder.File("adapter"), "reft.safetensors")));
        }

        Check.Same(adapters[0], adapters[1], "the adapter, streamed or not");
        var scores = ReftProcess.Run(["score", "--model", folder.Path, "--input", rows, "--json", "--stream", .. reading]).Succeeded().Json;
        using var model = ReftModel.Load(folder.Path);
        Check.Same(
            model.Score(Enumerable.Range(0, 6).Select(i => new DataRow { Prompt = $"Q: q{i}\nA:", Completion = $"a{i}" })).Select(score => score.Loss!.Value),
            scores.Select(score => score.GetProperty("loss").GetDouble()),
            "scores");

        ParquetRows.Write(folder.File("rows.parquet"), 2, Enumerable.Range(0, 5).Select(i => new PairRow { Prompt = $"p{i}", Completion = "c" }));
        Check.Equal(5, ReftProcess.Run("generate", "--model", folder.Path, "--input", folder.File("rows.parquet"), "--max-new-tokens", "2").Succeeded().Json.Count, "generations");
        Check.Equal(5, ReftProcess.Run("generate", "--model", folder.Path, "--input", folder.File("rows.parquet"), "--max-new-tokens", "2", "--template", "{prompt}!").Succeeded().Json.Count, "generations");
    }

    private static void WrongOptions()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.csv"), "q,a\n1,2\n");
        Refuses(2, "'promt'", "--fields", "promt=q");
        Refuses(2, "xml", "--format", "xml");
        Refuses(1, "no such file", "--template", "alpacca");
        Refuses(1, "--template", "--template", "{q");
        Refuses(1, "--completion-template", "--template", "{q}", "--completion-template", "}");
        Refuses(1, "belongs to a --template of your own", "--completion-template", "{a}");

        void Refuses(int code, string part, params string[] options) =>
            ReftProcess.Run(["validate-data", folder.File("rows.csv"), .. options]).FailedWith(code, part);
    }
}
