using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Rows of data: every form, and every refusal with its file, line and field.</summary>
public static class DataRowTests
{
    /// <summary>Forms, as they are read.</summary>
    [Tests]
    public static readonly Test Forms = Runner.TestList(
        "Rows of data",
        [
            Runner.TestCase("every form is read; blank lines and unknown fields are passed over", EveryForm),
            Runner.TestCase("scoring reads texts and bare ids, generation reads prompts", OtherUses),
            .. Refused.Select(r => Runner.TestCase($"refused for {r.Use}: {r.Line}", () => Refuses(r.Use, r.Line, r.Parts))),
            Runner.TestCase("a missing file is named", () => Check.Throws<FileNotFoundException>(
                () => TrainingData.FromJsonLines("no/such/file.jsonl"), "no/such/file.jsonl")),
            Runner.TestCase("a file that is not UTF-8 is refused", NotUtf8),
        ]);

    private static IEnumerable<(RowUse Use, string Line, string[] Parts)> Refused =>
    [
        (RowUse.Train, """{"prompt": "a" """, ["not valid JSON"]),
        (RowUse.Train, """[1, 2]""", ["expected a JSON object", "an array"]),
        (RowUse.Train, """{"prompt": "a"}""", ["'completion'"]),
        (RowUse.Train, """{"prompt": 3, "completion": "b"}""", ["'prompt'", "expected a string", "3"]),
        (RowUse.Train, """{"input_ids": [1, 2]}""", ["'labels'"]),
        (RowUse.Train, """{"input_ids": "1 2", "labels": [1]}""", ["'input_ids'", "expected an array"]),
        (RowUse.Train, """{"input_ids": [1, 2.5], "labels": [-100, 2]}""", ["'input_ids[1]'", "2.5"]),
        (RowUse.Train, """{"input_ids": [1], "labels": [-100], "prompt_length": "1"}""", ["'prompt_length'"]),
        (RowUse.Train, """{"prompt": "a", "completion": "b", "input_ids": [1]}""", ["'input_ids'", "'prompt'"]),
        (RowUse.Train, """{"prompt": "a", "completion": "b", "labels": [1]}""", ["'labels'"]),
        (RowUse.Train, """{"input_ids": [1], "labels": [-100], "completion": "b"}""", ["'completion'"]),
        (RowUse.Train, """{"text": "a"}""", ["'prompt' and 'completion'", "'text'"]),
        (RowUse.Train, """{"prompt": "a", "prompt": "b", "completion": "c"}""", ["not valid JSON", "prompt"]),
        (RowUse.Train, "{}", ["'prompt' and 'completion'"]),
        (RowUse.Generate, """{"completion": "b"}""", ["'prompt' or 'input_ids'"]),
        (RowUse.Score, """{"prompt": "a"}""", ["'completion'"]),
        (RowUse.Score, """{"text": "a", "prompt_length": 1}""", ["'prompt_length'"]),
        (RowUse.Train, """{"prompt": "a", "completion": "b", "subspaces": 1}""", ["'subspaces'", "an array of integers", "the number 1"]),
        (RowUse.Train, """{"prompt": "a", "completion": "b", "subspaces": [0, -1]}""", ["'subspaces[1]'", "0 or more", "-1"]),
        (RowUse.Score, """{"text": "a", "subspaces": [2, 1, 2]}""", ["'subspaces[2]'", "2 again"]),
        (RowUse.Train, """{"prompt": "a", "completion": "b", "subspaces": []}""", ["'subspaces'", "empty"]),
    ];

    private static IReadOnlyList<DataRow> Read(RowUse use, string lines)
    {
        using var reader = new StringReader(lines);
        return DataRow.FromJsonLines(reader, "rows.jsonl", use);
    }

    private static void EveryForm()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.jsonl"), """
            {"prompt": "a", "completion": "é", "id": 7}

            {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
            {"input_ids": [1, 2, 3], "labels": [1, 2, 3], "prompt_length": 1}
            {"input_ids": [1, 2, 3], "prompt_length": 2, "labels": null}
            {"prompt": "a", "completion": "b", "subspaces": [2, 0]}
            """);
        var rows = TrainingData.FromJsonLines(folder.File("rows.jsonl")).Rows;
        Check.Equal(5, rows.Count, "rows");
        Check.Equal(("a", "é"), (rows[0].Prompt, rows[0].Completion), "texts");
        Check.Same([-100, 2, 3], rows[1].Labels!, "labels");
        Check.Equal(1, rows[2].PromptLength, "prompt_length");
        Check.Equal(folder.File("rows.jsonl") + ":5", rows[3].Source, "the source of a row");
        Check.Same([2, 0], rows[4].Subspaces!, "subspaces");
    }

    private static void OtherUses()
    {
        Check.Equal(3, Read(RowUse.Score, """
            {"text": "abc"}
            {"input_ids": [1, 2]}
            {"prompt": "a", "completion": "b"}
            """).Count, "rows to score");
        Check.Equal(3, Read(RowUse.Generate, """
            {"prompt": "a"}
            {"input_ids": [1, 2]}
            {"prompt": "a", "completion": "b"}
            """).Count, "rows to generate from");
    }

    private static void Refuses(RowUse use, string line, string[] parts) =>
        Check.Throws<InvalidDataException>(() => Read(use, "\n" + line), ["rows.jsonl:2", .. parts]);

    private static void NotUtf8()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllBytes(folder.File("rows.jsonl"), [(byte)'{', 0xff, (byte)'}', (byte)'\n']);
        Check.Throws<InvalidDataException>(() => TrainingData.FromJsonLines(folder.File("rows.jsonl")), "UTF-8");
    }
}
