using System.Globalization;
using System.Text;
using CsvHelper;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Data;

/// <summary>Files of rows: every format gives the same rows, and tells where a bad one is.</summary>
public static class FormatTests
{
    private static readonly (string Prompt, string? Completion)[] Pairs =
    [
        ("plain", "text"), ("with, comma", "with \"quotes\""), ("two\nlines", "a\r\nb"), ("é 😀", "tab\there"), (" spaces ", "'"), ("{brace}", "\\n"),
    ];

    /// <summary>Formats.</summary>
    [Tests]
    public static readonly Test Formats = Runner.TestList(
        "Data formats",
        [
            Runner.TestCase("every format gives the same rows, in memory and on the disk", EveryFormat),
            Runner.TestCase("a .json file may be JSON Lines", JsonThatIsLines),
            Runner.TestCase("JSON Lines with a byte-order mark, CRLF and blank lines", Lines),
            Runner.TestCase("a JSON array larger than a buffer", LongArray),
            Runner.TestCase("CSV with a byte-order mark, CRLF, blank lines, empty values and no last end of line", Csv),
            Runner.TestCase("cells of CSV are numbers and arrays where fields are", Cells),
            Runner.TestCase("CSV is read as CsvHelper reads it", AgreesWithCsvHelper),
            .. BadFiles.Select(bad => Runner.TestCase($"refused: {bad.Name}, {bad.Content.ReplaceLineEndings("⏎")}", () => Refuses(bad.Name, bad.Content, bad.Parts))),
            Runner.TestCase("columns stand for fields", Mapped),
            Runner.TestCase("fields that are none are refused", WrongFields),
            Runner.TestCase("labelled rows of every format", Labelled),
            Runner.TestCase("preferences of CSV, with their prompts by a template", Preferences),
            Runner.TestCase("a row without an end is refused before it fills the memory", Endless),
        ]);

    private static IEnumerable<(string Name, string Content, string[] Parts)> BadFiles =>
    [
        ("rows.json", """[{"prompt": "a", "completion": "b"}, {"prompt": 1, "completion": "b"}]""", ["rows.json: row 2", "'prompt'", "a string", "the number 1"]),
        ("rows.json", """[{"prompt": "a", "completion": "b"}, {"prompt": "a" """, ["rows.json: row 2", "not valid JSON"]),
        ("rows.json", """[{"prompt": "a", "completion": "b"}] 1""", ["nothing after the array"]),
        ("rows.json", """[{"prompt": "a", "completion": "b"} {"prompt": "a", "completion": "b"}]""", ["row 2", "not valid JSON"]),
        ("rows.json", """[1]""", ["row 1", "expected a JSON object", "the number 1"]),
        ("rows.json", "\"a\"", ["an array of objects", "a string"]),
        ("rows.json", "", ["not valid JSON"]),
        ("rows.csv", "prompt,completion\na,b\nc\n", ["rows.csv:3", "expected 2 values", "found 1"]),
        ("rows.csv", "prompt,completion\n\n\"a\nb\",c\nd,e,f\n", ["rows.csv:5", "expected 2 values", "found 3"]),
        ("rows.csv", "prompt,completion\na,5\" wide\n", ["rows.csv:2", "value 2", "a quote"]),
        ("rows.csv", "prompt,completion\n\"a\"b,c\n", ["rows.csv:2", "value 1", "closing quote"]),
        ("rows.csv", "prompt,completion\na,b\n\"a,b\nc,d\n", ["rows.csv:3", "never closed"]),
        ("rows.csv", "prompt,prompt\na,b\n", ["each column once", "'prompt'"]),
        ("rows.csv", "prompt;completion\na;b\n", ["separated by commas"]),
        ("rows.csv", "", ["the columns' names"]),
        ("rows.csv", "prompt,completion\na,\n", ["rows.csv:2", "'completion'"]),
        ("rows.csv", "input_ids,prompt_length\n1 2 x,1\n", ["rows.csv:2", "'input_ids[2]'", "'x'"]),
        ("rows.csv", "prompt,completion\n\u00ff", ["rows.csv:2"]),
        ("rows.parquet", "PAR1 and nothing", ["rows.parquet", "Parquet"]),
        ("rows.jsonl", """{"messages": [], "prompt": "a"}""", ["'completion'"]),
        ("rows.jsonl", """{"messages": [{"role": "user", "content": "a"}], "completion": "b"}""", ["'completion'"]),
        ("rows.jsonl", new string('[', 100), ["not valid JSON"]),
    ];

    /// <summary>A file of pairs in a format, with the name that the format has.</summary>
    internal static string Write(TemporaryFolder folder, string format, IEnumerable<(string Prompt, string? Completion)> pairs)
    {
        var path = folder.File("rows." + format);
        if (format == "parquet")
        {
            ParquetRows.Write(path, 2, pairs.Select(pair => new PairRow { Prompt = pair.Prompt, Completion = pair.Completion }));
            return path;
        }

        static string Quoted(string text) => "\"" + text.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";
        var rows = pairs.Select(pair => format switch
        {
            "csv" => $"{Quoted(pair.Prompt)},{Quoted(pair.Completion!)}",
            "tsv" => $"{Quoted(pair.Prompt)}\t{Quoted(pair.Completion!)}",
            _ => System.Text.Json.JsonSerializer.Serialize(new { prompt = pair.Prompt, completion = pair.Completion }),
        });
        File.WriteAllText(path, format switch
        {
            "csv" => "prompt,completion\n" + string.Join('\n', rows) + "\n",
            "tsv" => "prompt\tcompletion\n" + string.Join('\n', rows) + "\n",
            "json" => "[" + string.Join(",\n", rows) + "]\n",
            _ => string.Join('\n', rows) + "\n",
        });
        return path;
    }

    private static void EveryFormat()
    {
        using var folder = TinyLlama.NewFolder();
        foreach (var format in new[] { "jsonl", "json", "csv", "tsv", "parquet" })
        {
            var path = Write(folder, format, Pairs);
            var rows = TrainingData.FromFile(path).Rows;
            Check.Same(Pairs, rows.Select(row => (row.Prompt!, row.Completion)), format);
            var streamed = TrainingData.Stream(path).Rows;
            Check.Same(rows, streamed, $"{format}, streamed");
            foreach (var i in new[] { 4, 0, 5, 2, 2 })
            {
                Check.Equal(rows[i], streamed[i], $"{format}, row {i} by itself");
            }
        }
    }

    private static void JsonThatIsLines()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.json");
        File.WriteAllText(path, "\ufeff \n{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"c\", \"completion\": \"d\"}\n");
        Check.Equal(2, TrainingData.FromFile(path).Count, "rows");
        Check.Throws<InvalidDataException>(() => TrainingData.FromFile(path, new() { Format = DataFormat.Json }), "an array of objects", "JSON Lines");
    }

    private static void Lines()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.jsonl");
        File.WriteAllText(path, "\ufeff{\"prompt\": \"a\", \"completion\": \"b\"}\r\n\r\n  \n{\"prompt\": \"c\", \"completion\": \"d\"}");
        foreach (var data in new[] { TrainingData.FromFile(path), TrainingData.Stream(path) })
        {
            Check.Same([("a", path + ":1"), ("c", path + ":4")], data.Rows.Select(row => (row.Prompt!, row.Source!)), "rows and lines");
        }

        File.WriteAllText(path, "{}", Encoding.Unicode);
        Check.Throws<InvalidDataException>(() => TrainingData.FromFile(path), "UTF-16");
    }

    private static void LongArray()
    {
        using var folder = TinyLlama.NewFolder();
        var path = Write(folder, "json", Enumerable.Range(0, 500).Select(i => (new string((char)('a' + (i % 26)), i * 7), (string?)$"{i}]")));
        foreach (var data in new[] { TrainingData.FromFile(path), TrainingData.Stream(path) })
        {
            Check.Same(Enumerable.Range(0, 500).Select(i => (i * 7, $"{i}]")), data.Rows.Select(row => (row.Prompt!.Length, row.Completion!)), "rows");
        }
    }

    private static void Csv()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.csv");
        File.WriteAllText(path, "\ufeffprompt,completion,,id\r\n\r\n\"a\r\nb\",\"\",x,1\r\nc,\"d\"\"\",,2");
        var rows = TrainingData.FromFile(path).Rows;
        Check.Same([("a\r\nb", ""), ("c", "d\"")], rows.Select(row => (row.Prompt!, row.Completion!)), "rows");
        Check.Same([path + ":3", path + ":5"], rows.Select(row => row.Source!), "lines");
    }

    private static void Cells()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.csv");
        File.WriteAllText(path, "input_ids,labels,prompt_length,subspaces\n1 2 3,\"[-100, 2, 3]\",,\n\"[4,5]\",,1,0\n");
        var rows = TrainingData.FromFile(path).Rows;
        Check.Same([1, 2, 3], rows[0].InputIds!, "ids");
        Check.Same([-100, 2, 3], rows[0].Labels!, "labels");
        Check.That(rows[0].PromptLength is null && rows[1].Labels is null, "empty cells are no values");
        Check.Equal(1, rows[1].PromptLength, "prompt_length");
        Check.Same([0], rows[1].Subspaces!, "subspaces");
    }

    private static void AgreesWithCsvHelper()
    {
        using var folder = TinyLlama.NewFolder();
        var random = new Random(5);
        const string Letters = "ab,\"\n\r\t ;é😀";
        string Cell() => string.Concat(Enumerable.Range(0, random.Next(6)).Select(_ => Letters[random.Next(Letters.Length - 2)]));
        foreach (var format in new[] { "csv", "tsv" })
        {
            var path = folder.File("rows." + format);
            var settings = new CsvHelper.Configuration.CsvConfiguration(CultureInfo.InvariantCulture)
            {
                Delimiter = format == "csv" ? "," : "\t",
                NewLine = format == "csv" ? "\n" : "\r\n",

                // By itself it leaves a carriage return bare, which at the end of a line is the line's.
                ShouldQuote = field => field.Field.AsSpan().ContainsAny(",\t\"\r\n"),
            };
            var written = Enumerable.Range(0, 400).Select(_ => (Prompt: "p" + Cell(), Completion: "c" + Cell())).ToArray();
            using (var writer = new CsvWriter(new StreamWriter(path), settings))
            {
                writer.WriteField("prompt");
                writer.WriteField("completion");
                foreach (var (prompt, completion) in written)
                {
                    writer.NextRecord();
                    writer.WriteField(prompt);
                    writer.WriteField(completion);
                }
            }

            using var reader = new CsvReader(new StreamReader(path), settings);
            reader.Read();
            reader.ReadHeader();
            var theirs = new List<(string, string)>();
            while (reader.Read())
            {
                theirs.Add((reader.GetField("prompt")!, reader.GetField("completion")!));
            }

            var ours = TrainingData.FromFile(path).Rows.Select(row => (row.Prompt!, row.Completion!)).ToArray();
            for (var i = 0; i < written.Length; i++)
            {
                Check.Equal(written[i], theirs[i], "CsvHelper reads what it wrote");
                Check.Equal(theirs[i], ours[i], $"{format}, row {i}");
            }

            Check.Equal(written.Length, ours.Length, "rows");
            Check.Same(theirs, TrainingData.Stream(path).Rows.Select(row => (row.Prompt!, row.Completion!)), $"{format}, streamed");
        }
    }

    private static void Refuses(string name, string content, string[] parts)
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File(name), content);
        Check.Throws<InvalidDataException>(() => TrainingData.FromFile(folder.File(name)), parts);
        Check.Throws<InvalidDataException>(() => TrainingData.Stream(folder.File(name)), parts);
    }

    private static void Mapped()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.jsonl");
        File.WriteAllText(path, """{"question": "a", "answer": "b", "prompt": "no"}""" + "\n");
        var row = TrainingData.FromFile(path, new() { Fields = DataFields.Parse("prompt=question, completion=answer") }).Rows[0];
        Check.Equal(("a", "b"), (row.Prompt!, row.Completion!), "mapped");
        var text = DataRow.FromFile(path, RowUse.Score, new() { Fields = DataFields.Standard.With("text", "prompt") })[0];
        Check.Equal(("no", null), (text.Text!, text.Prompt), "a column that was given to one field is no other's");
        Check.Throws<InvalidDataException>(
            () => TrainingData.FromFile(path, new() { Fields = DataFields.Parse("prompt=query,completion=answer") }),
            ":1", "'query'", "no such column", "question, answer, prompt");
    }

    private static void WrongFields()
    {
        Check.Throws<ArgumentException>(() => DataFields.Parse("promt=a"), "'promt'", "prompt, completion");
        Check.Throws<ArgumentException>(() => DataFields.Parse("prompt"), "FIELD=COLUMN", "'prompt'");
        Check.Throws<ArgumentException>(() => DataFields.Parse("prompt=a,prompt=b"), "'a'", "'b'");
    }

    private static void Labelled()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.csv"), "text,label\na,spam\nb,1\nc,0.5\nd,\"[\"\"x\"\", \"\"y\"\"]\"\n");
        File.WriteAllText(folder.File("rows.json"), """[{"text": "a", "label": "spam"}, {"text": "b", "label": 1}, {"text": "c", "label": 0.5}, {"text": "d", "label": ["x", "y"]}]""");
        foreach (var name in new[] { "rows.csv", "rows.json" })
        {
            var rows = ClassificationData.FromFile(folder.File(name)).Rows;
            Check.Same(["a", "b", "c", "d"], rows.Select(row => row.Text!), name);
            Check.Same(["spam", "1", null, null], rows.Select(row => row.Label), name);
            Check.Same([null, 1.0, 0.5, null], rows.Select(row => row.Value), name);
            Check.Same(["x", "y"], rows[3].Labels!, name);
        }

        ParquetRows.Write(folder.File("rows.parquet"), 10, [new LabelRow { Text = "a", Label = 3 }, new LabelRow { Text = "b", Label = null }]);
        var labelled = ClassificationData.FromFile(folder.File("rows.parquet")).Rows;
        Check.Same(["3", null], labelled.Select(row => row.Label), "labels of Parquet");
    }

    private static void Endless()
    {
        using var folder = TinyLlama.NewFolder();
        using (var stream = File.Create(folder.File("rows.jsonl")))
        {
            stream.SetLength(300L << 20);
        }

        foreach (var format in new[] { DataFormat.JsonLines, DataFormat.Csv })
        {
            Check.Throws<InvalidDataException>(
                () => TrainingData.FromFile(folder.File("rows.jsonl"), new() { Format = format }), "longer than 64 MB");
        }
    }

    private static void Preferences()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.csv"), "q,good,bad\na,\"b,c\",d\n");
        var row = PreferenceData.FromFile(folder.File("rows.csv"), new() { Fields = DataFields.Parse("prompt=q,chosen=good,rejected=bad") }).Rows[0];
        var asked = PreferenceData.FromFile(
            folder.File("rows.csv"), new() { Fields = DataFields.Parse("chosen=good,rejected=bad"), Template = RowTemplate.Text("{q}?") }).Rows[0];
        Check.Equal(("a?", "b,c", "d"), (asked.Prompt!, asked.Chosen!, asked.Rejected!), "the preference by a template");
        Check.Throws<InvalidDataException>(
            () => PreferenceData.FromFile(folder.File("rows.csv"), new() { Template = RowTemplate.Chat }), "chat template");
        Check.Equal(("a", "b,c", "d"), (row.Prompt!, row.Chosen!, row.Rejected!), "the preference");
        File.WriteAllText(folder.File("rows.csv"), "prompt,chosen,rejected\na,b,\n");
        Check.Throws<InvalidDataException>(() => PreferenceData.FromFile(folder.File("rows.csv")), "rows.csv:2", "'rejected'");
    }
}
