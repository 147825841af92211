using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Data;

/// <summary>Rows that stay on the disk: the same run as from memory, and no more memory for more rows.</summary>
public static class StreamingTests
{
    /// <summary>Streaming.</summary>
    [Tests]
    public static readonly Test Streaming = Runner.TestList(
        "Rows on the disk",
        [
            .. new[] { "jsonl", "json", "csv", "parquet" }.Select(format =>
                Runner.TestCase($"a run from {format} is the run from memory, bit for bit", () => SameRun(format))),
            Runner.TestCase("labelled rows, too", SameLabels),
            Runner.TestCase("scores and predictions, too", SameScores),
            Runner.TestCase("a file that is changed, shortened or removed meanwhile is refused", Changed),
            Runner.TestCase("300 000 rows take no memory but their places", Bounded),
            Runner.TestCase("sources are refused", NoSources),
        ]);

    private static void SameRun(string format)
    {
        using var folder = TinyLlama.WithTokenizer();
        var path = FormatTests.Write(folder, format, Enumerable.Range(0, 23).Select(i => ($"p{i}:" + new string('x', i), (string?)$"c{i % 3}")));
        var heldOut = System.IO.Path.Combine(Directory.CreateDirectory(folder.File("held")).FullName, "rows." + format);
        File.Move(FormatTests.Write(folder, format, [("a", "c1"), ("bb", "c2"), ("ccc", "c0")]), heldOut);
        FormatTests.Write(folder, format, Enumerable.Range(0, 23).Select(i => ($"p{i}:" + new string('x', i), (string?)$"c{i % 3}")));

        // The prompt alone fills 20 tokens in the longest rows: those have nothing to learn.
        var options = new TrainingOptions { Epochs = 2, BatchSize = 4, MaxLength = 20, EvaluateEvery = 3 };
        var memory = Run(new(), out var before);
        var disk = Run(new() { Stream = true }, out var beforeOnDisk);
        Check.Equal(before, beforeOnDisk, "evaluation");
        Check.That(memory.SkippedRows is > 0 and < 10, $"some rows are skipped, found {memory.SkippedRows}");
        Check.Equal(memory.SkippedRows, disk.SkippedRows, "skipped rows");
        Check.Same(memory.History.Select(step => (step.Loss, step.GradientNorm, step.EvaluationLoss)), disk.History.Select(step => (step.Loss, step.GradientNorm, step.EvaluationLoss)), "every step");

        TrainingResult Run(DataOptions reading, out double evaluation)
        {
            using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
            evaluation = model.Evaluate(TrainingData.FromFile(heldOut, reading));
            return model.FitAsync(
                TrainingData.FromFile(path, reading), options with { EvaluationData = TrainingData.FromFile(heldOut, reading) }).GetAwaiter().GetResult();
        }
    }

    private static void SameLabels()
    {
        using var folder = TinyLlama.WithTokenizer();
        var path = folder.File("rows.csv");
        File.WriteAllText(path, "text,label\n" + string.Concat(Enumerable.Range(0, 12).Select(i => $"t{i},{(i % 2 == 0 ? "a" : "b")}\n")));
        var (memory, scoreOfMemory) = Run(false);
        var (disk, scoreOfDisk) = Run(true);
        Check.Same(memory.History.Select(step => step.Loss), disk.History.Select(step => step.Loss), "losses");
        Check.Equal(scoreOfMemory, scoreOfDisk, "evaluation");

        (TrainingResult Result, ClassifierEvaluation Score) Run(bool stream)
        {
            using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
            var data = ClassificationData.FromFile(path, new() { Stream = stream });
            var result = model.FitClassifierAsync(data, new() { Epochs = 1, BatchSize = 3 }, data).GetAwaiter().GetResult();
            return (result, model.EvaluateClassifier(data));
        }
    }

    private static void SameScores()
    {
        using var folder = TinyLlama.WithTokenizer();
        var path = FormatTests.Write(folder, "csv", [("a", "b"), ("cc", "dd"), ("e", "f")]);
        using var model = ReftModel.Load(folder.Path);
        double?[] Losses(bool stream) => [.. model.Score(DataRow.FromFile(path, RowUse.Score, new() { Stream = stream }), 2).Select(score => score.Loss)];
        Check.Same(Losses(false), Losses(true), "losses");
    }

    private static void Changed()
    {
        using var folder = TinyLlama.NewFolder();
        foreach (var format in new[] { "jsonl", "csv", "json", "parquet" })
        {
            var path = FormatTests.Write(folder, format, [("a", "b"), ("c", "d")]);
            var rows = TrainingData.Stream(path).Rows;
            Check.Equal("c", rows[1].Prompt, "the row");
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(5));
            Check.Throws<InvalidDataException>(() => _ = rows[1], path, "was changed");

            rows = TrainingData.Stream(path).Rows;
            File.AppendAllText(path, "\n");
            Check.Throws<InvalidDataException>(() => _ = rows[0], path, "was changed");
            File.Delete(path);
            Check.Throws<InvalidDataException>(() => _ = rows[0], path, "was removed");
        }
    }

    private static void Bounded()
    {
        const int Rows = 300_000;
        const int TextLength = 200;
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.jsonl");
        using (var writer = new StreamWriter(path))
        {
            var text = new string('x', TextLength);
            for (var i = 0; i < Rows; i++)
            {
                writer.Write("{\"prompt\": \"");
                writer.Write(text);
                writer.Write("\", \"completion\": \"");
                writer.Write(i);
                writer.Write("\"}\n");
            }
        }

        var before = GC.GetTotalMemory(forceFullCollection: true);
        var rows = TrainingData.Stream(path).Rows;
        var random = new Random(1);
        for (var i = 0; i < 10_000; i++)
        {
            var row = random.Next(Rows);
            Check.Equal(row.ToString(provider: null), rows[row].Completion, "a row by itself");
        }

        var held = GC.GetTotalMemory(forceFullCollection: true) - before;
        Check.That(held < 32L * Rows, $"expected less than 32 bytes a row, found {held / (double)Rows:0.0}");
        GC.KeepAlive(rows);
    }

    private static void NoSources()
    {
        using var folder = TinyLlama.NewFolder();
        var data = TrainingData.Stream(FormatTests.Write(folder, "jsonl", [("a", "b")]));
        Check.Throws<InvalidOperationException>(() => data.WithSources(), "FromFile");
    }
}
