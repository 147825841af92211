using Expecto;
using Expecto.CSharp;
using Parquet;

namespace Reft.Tests.Data;

/// <summary>Parquet: its types, its compressions, and files that claim too much.</summary>
public static class ParquetTests
{
    /// <summary>Parquet files.</summary>
    [Tests]
    public static readonly Test Files = Runner.TestList(
        "Parquet",
        [
            .. new[] { CompressionMethod.None, CompressionMethod.Snappy, CompressionMethod.Gzip, CompressionMethod.Zstd, CompressionMethod.Brotli, CompressionMethod.LZ4 }
                .Select(method => Runner.TestCase($"compressed by {method}", () => Compressed(method))),
            Runner.TestCase("lists of numbers, nulls and empty lists among them", Lists),
            Runner.TestCase("conversations, as lists of structures", Conversations),
            Runner.TestCase("a nested column is refused by name where it is used, and passed over where it is not", Nested),
            Runner.TestCase("a type that is no text and no number is refused by name where it is used", Types),
            Runner.TestCase("a file with bytes changed anywhere is refused or read, and never worse", Damaged),
            Runner.TestCase("a row group that claims too many rows is refused before it is read", Claims),
            Runner.TestCase("nothing stays in the temporary folder", NothingLeft),
        ]);

    private static void Compressed(CompressionMethod method)
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 30, Enumerable.Range(0, 100).Select(i => new PairRow { Prompt = $"prompt {i}", Completion = i % 7 == 0 ? "" : $"c{i}" }), method);
        var rows = TrainingData.FromFile(path).Rows;
        Check.Same(Enumerable.Range(0, 100).Select(i => ($"prompt {i}", i % 7 == 0 ? "" : $"c{i}")), rows.Select(row => (row.Prompt!, row.Completion!)), "rows");
        Check.Equal($"{path}: row 100", rows[99].Source, "source");
    }

    private static void Lists()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 2, new IdsRow[]
        {
            new() { InputIds = [1, 2, 3], Labels = [-100, 2, 3] },
            new() { InputIds = [4], PromptLength = 1 },
            new() { InputIds = [], Labels = [] },
            new() { InputIds = [5, 6], Labels = null, PromptLength = 0 },
        });
        foreach (var rows in new[] { TrainingData.FromFile(path).Rows, TrainingData.Stream(path).Rows })
        {
            Check.Same(["1 2 3", "4", "", "5 6"], rows.Select(row => string.Join(' ', row.InputIds!)), "ids");
            Check.Same(["-100 2 3", null, "", null], rows.Select(row => row.Labels is { } labels ? string.Join(' ', labels) : null), "labels");
            Check.Same([null, 1, null, 0], rows.Select(row => row.PromptLength), "prompt lengths");
        }
    }

    private static void Conversations()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 2, new ChatRow[]
        {
            new() { Messages = [new() { Role = "user", Content = "é" }, new() { Role = "assistant", Content = "b" }] },
            new() { Messages = [new() { Role = "user", Content = "c" }, new() { Role = "user", Content = null }, new() { Role = "assistant", Content = "d" }] },
        });
        Check.Same(
            ["""[{"role":"user","content":"é"},{"role":"assistant","content":"b"}]""", """[{"role":"user","content":"c"},{"role":"user","content":null},{"role":"assistant","content":"d"}]"""],
            TrainingData.Stream(path).Rows.Select(row => row.Messages!.Value.GetRawText()),
            "messages");
    }

    private static void Nested()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 2, [new MapRow { Text = new() { ["a"] = 1 }, Meta = new() { ["b"] = 2 } }]);
        Check.Throws<InvalidDataException>(() => DataRow.FromFile(path, RowUse.Score), "'text'", "nested");
        Check.Throws<InvalidDataException>(
            () => DataRow.FromFile(path, RowUse.Score, new() { Fields = DataFields.Parse("prompt=text,text=meta") }), "nested");
    }

    private static void Types()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 2, new IdsRow[] { new() { InputIds = [1, 2], PromptLength = 1, When = DateTime.UtcNow } });
        Check.Equal(1, TrainingData.FromFile(path).Count, "rows whose other columns are passed over");
        Check.Throws<InvalidDataException>(
            () => TrainingData.FromFile(path, new() { Fields = DataFields.Standard.With("prompt", "when") }), "'when'", "DateTime");
        Check.Throws<InvalidDataException>(
            () => TrainingData.FromFile(path, new() { Fields = DataFields.Standard.With("prompt", "who") }), "'who'", "input_ids, labels, prompt_length, when");
    }

    private static void Damaged()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 5, Enumerable.Range(0, 12).Select(i => new IdsRow { InputIds = [i, 2, 3], PromptLength = 1 }), CompressionMethod.Gzip);
        var good = File.ReadAllBytes(path);
        var random = new Random(3);
        for (var i = 0; i < 150; i++)
        {
            var bad = good.ToArray();
            for (var change = 0; change <= i % 3; change++)
            {
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            }

            File.WriteAllBytes(path, i % 10 == 0 ? bad[..random.Next(bad.Length)] : bad);
            try
            {
                _ = TrainingData.FromFile(path);
            }
            catch (InvalidDataException e)
            {
                Check.That(e.Message.StartsWith(path, StringComparison.Ordinal), $"the message names the file: {e.Message}");
            }
        }
    }

    private static void Claims()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.parquet");
        ParquetRows.Write(path, 1000, Enumerable.Range(0, 777).Select(i => new PairRow { Prompt = "a", Completion = "b" }));
        var bytes = File.ReadAllBytes(path);
        Check.Equal(777, TrainingData.FromFile(path).Count, "rows");

        // 777 as a variable-length integer of zigzag 1554; the last place is the row group's own count.
        var place = bytes.AsSpan().LastIndexOf([(byte)0x92, (byte)0x0c]);
        (bytes[place], bytes[place + 1]) = (0xfe, 0x7f);
        File.WriteAllBytes(path, bytes);
        Check.Throws<InvalidDataException>(() => TrainingData.FromFile(path), path, "row group 0", "8191 rows", "777 values");
    }

    private static void NothingLeft()
    {
        using var folder = TinyLlama.NewFolder();
        var path = FormatTests.Write(folder, "parquet", [("a", "b"), ("c", "d")]);
        var data = TrainingData.Stream(path);
        Check.Same([], Directory.GetFiles("/var/tmp", "reft-rows-*").Concat(Directory.GetFiles(System.IO.Path.GetTempPath(), "reft-rows-*")), "files");
        Check.Equal("c", data.Rows[1].Prompt, "the row");
    }
}
