using System.Text.Json.Serialization;
using Expecto;
using Expecto.CSharp;
using Reft.Tests.Data;

namespace Reft.Tests.Tasks;

/// <summary>GLUE's files as they are published, in small files written here.</summary>
public static class GlueTests
{
    // The columns of GLUE's own files; a quote in a value is a character.
    private static readonly (string Task, string Train, string Dev, string[] Lines, LabelledRow First)[] Tsv =
    [
        ("cola", "train.tsv", "dev.tsv", ["gj04\t1\t\tThe \"cat\" sat.", "gj04\t0\t*\tSat cat the."], new() { Text = "The \"cat\" sat.", Label = "acceptable" }),
        ("sst2", "train.tsv", "dev.tsv", ["sentence\tlabel", "a fine film \t1", "\" dull\t0"], new() { Text = "a fine film ", Label = "positive" }),
        (
            "mrpc", "train.tsv", "dev.tsv",
            ["\uFEFFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t7\t8\tHe said \"no.\tHe refused.", "0\t9\t10\tA.\tB."],
            new() { Text = "He said \"no.", TextPair = "He refused.", Label = "equivalent" }),
        (
            "stsb", "train.tsv", "dev.tsv",
            [
                "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
                "0\tmain\tf\t2012\t1\tnone\tnone\tA plane.\tA jet.\t4.750", "1\tmain\tf\t2012\t1\tnone\tnone\tA plane.\tA dog.\t0.000",
            ],
            new() { Text = "A plane.", TextPair = "A jet.", Value = 4.75 }),
        (
            "qqp", "train.tsv", "dev.tsv",
            ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "1\t2\t3\tWhy?\tHow so?\t1", "4\t5\t6\tWho?\tWhen?\t0", "5\t6\tcut off"],
            new() { Text = "Why?", TextPair = "How so?", Label = "duplicate" }),
        (
            "mnli", "train.tsv", "dev_matched.tsv",
            ["index\tpairID\tsentence1\tsentence2\tlabel1\tgold_label", "0\t1n\tIt rains.\tIt is wet.\tneutral\tentailment", "1\t2n\tIt rains.\tIt is dry.\tneutral\tcontradiction"],
            new() { Text = "It rains.", TextPair = "It is wet.", Label = "entailment" }),
        (
            "qnli", "train.tsv", "dev.tsv", ["index\tquestion\tsentence\tlabel", "0\tWhere?\tHere.\tentailment", "1\tWhere?\tNow.\tnot_entailment"],
            new() { Text = "Where?", TextPair = "Here.", Label = "entailment" }),
        (
            "rte", "train.tsv", "dev.tsv", ["index\tsentence1\tsentence2\tlabel", "0\tAll.\tSome.\tentailment", "1\tSome.\tAll.\tnot_entailment"],
            new() { Text = "All.", TextPair = "Some.", Label = "entailment" }),
    ];

    /// <summary>Loading and dividing.</summary>
    [Tests]
    public static readonly Test All = Runner.TestList(
        "GLUE",
        [
            Runner.TestCase("the tasks, their labels and metrics", Tasks),
            .. Tsv.Select(file => Runner.TestCase($"{file.Task} as GLUE publishes it", () => Reads(file.Task, file.Train, file.Dev, file.Lines, file.First))),
            Runner.TestCase("MRPC as it was before GLUE", Paraphrases),
            Runner.TestCase("Parquet of the datasets hub", HubFiles),
            Runner.TestCase("the validation rows are divided as pyreft's", Divides),
            Runner.TestCase("what is refused", Refuses),
        ]);

    private static void Tasks()
    {
        Check.Same(["mnli", "sst2", "mrpc", "cola", "qnli", "qqp", "rte", "stsb"], GlueTask.All.Select(task => task.Name), "the paper's order");
        Check.Same(
            ["accuracy", "accuracy", "accuracy", "matthews", "accuracy", "accuracy", "accuracy", "pearson"],
            GlueTask.All.Select(task => task.Metric), "the paper's metrics");
        Check.Same(["accuracy", "f1"], GlueTask.Named("MRPC").ReportedMetrics, "GLUE's of MRPC");
        Check.Equal(GlueTask.Named("sst2"), GlueTask.Named("SST-2"), "both names");
        Check.Equal((ClassifierProblem.Regression, 0), (GlueTask.Named("stsb").Problem, GlueTask.Named("stsb").Labels.Count), "STS-B has numbers");
        Check.Same(["entailment", "neutral", "contradiction"], GlueTask.Named("mnli").ToClassifier().Labels, "the head of MNLI");
        Check.Throws<ArgumentException>(() => GlueTask.Named("wnli"), "'wnli'", "mnli, sst2");
    }

    private static void Reads(string name, string train, string dev, string[] lines, LabelledRow first)
    {
        using var folder = TinyLlama.NewFolder();
        var task = GlueTask.Named(name);
        Directory.CreateDirectory(folder.File(task.Title));
        File.WriteAllLines(folder.File(Path.Combine(task.Title, train)), lines);
        File.WriteAllLines(folder.File(Path.Combine(task.Title, dev)), lines);
        foreach (var place in new[] { folder.Path, folder.File(task.Title) })
        {
            var found = task.Load(place);
            Check.Equal((2, 1, 1), (found.Train.Count, found.Validation.Count, found.Test.Count), "rows");
            Check.Equal(first, found.Train[0] with { Source = null }, "the first row");
            Check.That(found.Train[0].Source!.EndsWith(name == "cola" ? "train.tsv:1" : "train.tsv:2", StringComparison.Ordinal), found.Train[0].Source!);
            Check.Equal(name == "qqp" ? 2 : 0, found.IncompleteLines, "lines that are cut off, in both files");
            Check.Equal(task.Problem, ClassificationData.FromRows(found.Train).ToClassifier(task.Problem).Problem, "rows to train on");
        }
    }

    private static void Paraphrases()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllLines(folder.File("msr_paraphrase_train.txt"),
        [
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t1\t2\ta\tb", "0\t3\t4\tc\td", "1\t5\t6\te\tf", "1\t7\t8\tg\th",
        ]);
        var task = GlueTask.Named("mrpc");
        Check.Throws<FileNotFoundException>(() => task.Load(folder.Path), "dev_ids.tsv");
        File.WriteAllLines(folder.File("dev_ids.tsv"), ["3\t4", "7\t8"]);
        var found = task.Load(folder.Path);
        Check.Same(["a", "e"], found.Train.Select(row => row.Text!), "rows to train on");
        Check.Same(["c", "g"], found.Validation.Concat(found.Test).Select(row => row.Text!).Order(), "rows held out");
    }

    private static void HubFiles()
    {
        using var folder = TinyLlama.NewFolder();
        HubPair[] rows = [.. Enumerable.Range(0, 6).Select(i => new HubPair { Premise = $"p{i}", Hypothesis = $"h{i}", Label = i % 3, Idx = i })];
        Directory.CreateDirectory(folder.File("mnli"));
        ParquetRows.Write(folder.File("mnli/train-00000-of-00002.parquet"), 2, rows[..3]);
        ParquetRows.Write(folder.File("mnli/train-00001-of-00002.parquet"), 2, rows[3..]);
        ParquetRows.Write(folder.File("mnli/validation_matched-00000-of-00001.parquet"), 10, rows[..4]);
        ParquetRows.Write(folder.File("mnli/validation_mismatched-00000-of-00001.parquet"), 10, rows[..1]);
        var found = GlueTask.Named("mnli").Load(folder.Path);
        Check.Same(["p0", "p1", "p2", "p3", "p4", "p5"], found.Train.Select(row => row.Text!), "all parts, in order");
        Check.Same(["entailment", "neutral", "contradiction"], found.Train.Take(3).Select(row => row.Label!), "labels by their numbers");
        Check.Equal("h0", found.Train[0].TextPair, "the second text");
        Check.Equal((2, 2), (found.Validation.Count, found.Test.Count), "the matched rows alone");

        HubNumber[] numbers = [.. Enumerable.Range(0, 4).Select(i => new HubNumber { Sentence1 = $"a{i}", Sentence2 = $"b{i}", Label = 1.25f * i })];
        Directory.CreateDirectory(folder.File("stsb"));
        ParquetRows.Write(folder.File("stsb/train.parquet"), 4, numbers);
        ParquetRows.Write(folder.File("stsb/validation.parquet"), 4, numbers);
        Check.Same([0, 1.25, 2.5, 3.75], GlueTask.Named("stsb").Load(folder.Path).Train.Select(row => row.Value!.Value), "numbers");

        ParquetRows.Write(folder.File("mnli/validation_matched-00000-of-00001.parquet"), 10, rows.Select(row => new HubPair
        {
            Premise = row.Premise,
            Hypothesis = row.Hypothesis,
            Label = -1,
        }));
        Check.Throws<InvalidDataException>(() => GlueTask.Named("mnli").Load(folder.Path), "'label'", "'-1'", "hides");
    }

    private static void Divides()
    {
        using var folder = TinyLlama.NewFolder();
        Write(10);

        // torch.manual_seed(0); torch.randperm(10) is 4 1 7 5 3 9 0 8 6 2: the first part is the test.
        var found = Task.Load(folder.Path, 0);
        Check.Same(["4", "1", "7", "5", "3"], found.Test.Select(row => row.Text!), "the test");
        Check.Same(["9", "0", "8", "6", "2"], found.Validation.Select(row => row.Text!), "the rows to choose by");
        Check.Same(found.Test.Select(row => row.Text), Task.Load(folder.Path, 0).Test.Select(row => row.Text), "the same seed");
        Check.That(!found.Test.Select(row => row.Text).SequenceEqual(Task.Load(folder.Path, 42).Test.Select(row => row.Text)), "another seed");

        Write(5000);
        Check.Equal(2500, Task.Load(folder.Path).Validation.Count, "half of them");
        Write(5001);
        found = Task.Load(folder.Path);
        Check.Equal((1000, 4001), (found.Validation.Count, found.Test.Count), "1,000 of many");
        Check.Equal(5001, found.Validation.Concat(found.Test).Select(row => row.Text).Distinct().Count(), "every row once");

        void Write(int rows)
        {
            string[] lines = ["sentence\tlabel", .. Enumerable.Range(0, rows).Select(i => $"{i}\t{i % 2}")];
            File.WriteAllLines(folder.File("train.tsv"), lines[..3]);
            File.WriteAllLines(folder.File("dev.tsv"), lines);
        }
    }

    private static GlueTask Task { get; } = GlueTask.Named("sst2");

    private static void Refuses()
    {
        using var folder = TinyLlama.NewFolder();
        Check.Throws<FileNotFoundException>(() => Task.Load(folder.Path), folder.Path, "train.tsv", "validation-*.parquet", "SST-2");
        string[] good = ["sentence\tlabel", "a\t1", "b\t0"];
        Write(good, null);
        Check.Throws<FileNotFoundException>(() => Task.Load(folder.Path), "dev.tsv");
        Refused(["sentence\tlabel", "a\t2"], "train.tsv:2", "'label'", "negative, positive", "'2'");
        Refused(["sentence\tlabel", "a\t-1"], "train.tsv:2", "'-1'", "hides");
        Refused(["text\tlabel", "a\t1"], "train.tsv:2", "'sentence'", "text, label");
        Refused(["label\tlabel", "a\t1"], "'label' twice");
        Refused([""], "empty");
        Refused(["sentence\tlabel", "a", "b"], "2 values between tabs");
        Refused(["sentence\tlabel"], "rows to train on");
        File.WriteAllBytes(folder.File("train.tsv"), [.. "sentence\tlabel\n"u8, 0xff, 0xfe, (byte)'\t', (byte)'1']);
        Check.Throws<InvalidDataException>(() => Task.Load(folder.Path), "UTF-8");
        Write(good, ["sentence\tlabel", "a\t1"]);
        Check.Throws<InvalidDataException>(() => Task.Load(folder.Path), "two validation rows", "found 1");

        var similar = GlueTask.Named("stsb");
        Write(["sentence1\tsentence2\tscore", "a\tb\t5.5"], good);
        Check.Throws<InvalidDataException>(() => similar.Load(folder.Path), "'score'", "0 … 5", "5.5");

        void Refused(string[] train, params string[] parts)
        {
            Write(train, good);
            Check.Throws<InvalidDataException>(() => Task.Load(folder.Path), parts);
        }

        void Write(string[] train, string[]? dev)
        {
            File.WriteAllLines(folder.File("train.tsv"), train);
            if (dev is not null)
            {
                File.WriteAllLines(folder.File("dev.tsv"), dev);
            }
        }
    }

    private sealed class HubPair
    {
        [JsonPropertyName("premise")]
        public string? Premise { get; set; }

        [JsonPropertyName("hypothesis")]
        public string? Hypothesis { get; set; }

        [JsonPropertyName("label")]
        public long Label { get; set; }

        [JsonPropertyName("idx")]
        public int Idx { get; set; }
    }

    private sealed class HubNumber
    {
        [JsonPropertyName("sentence1")]
        public string? Sentence1 { get; set; }

        [JsonPropertyName("sentence2")]
        public string? Sentence2 { get; set; }

        [JsonPropertyName("label")]
        public float Label { get; set; }
    }
}
