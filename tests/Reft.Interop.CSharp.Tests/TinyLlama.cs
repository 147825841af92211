using System.Text.Json;

namespace Reft.Tests;

/// <summary>The smallest golden Llama, without and with a tokenizer, and folders that tests write into.</summary>
internal static class TinyLlama
{
    private static readonly int[] Answer = [20, 21, 22];

    /// <summary>A folder with weights and no tokenizer: 4 layers, hidden 64, vocabulary 256, context 128, EOS 2.</summary>
    public static string Folder { get; } = RepositoryFiles.At("tests/golden/a_models/llama/model");

    /// <summary>Rows that all end with the same three tokens, so that a few steps learn something.</summary>
    public static TrainingData Data { get; } = TrainingData.FromExamples(
        Enumerable.Range(0, 16).Select(i =>
            TrainingExample.FromCompletion([1, 30 + i, 60 + (3 * i), 90 + i, 7 + i], Answer)));

    /// <summary>LoReFT on two layers.</summary>
    public static ReftSpec Spec { get; } = new ReftSpec()
        .At(Sites.BlockOutput(1, 2), Positions.First(2) + Positions.Last(2), Interventions.Loreft(rank: 4));

    /// <summary>A new folder, removed when the result is disposed of.</summary>
    public static TemporaryFolder NewFolder() => new();

    /// <summary>
    /// The model with a byte-level tokenizer of single characters beside it: ids 0 pad, 1 <c>&lt;s&gt;</c> (before every
    /// prompt), 2 <c>&lt;/s&gt;</c>, then the printable characters.
    /// </summary>
    public static TemporaryFolder WithTokenizer()
    {
        var folder = new TemporaryFolder();
        foreach (var file in new[] { "config.json", "generation_config.json", "model.safetensors" })
        {
            File.Copy(Path.Combine(Folder, file), folder.File(file));
        }

        var vocabulary = new Dictionary<string, int> { ["<pad>"] = 0, ["<s>"] = 1, ["</s>"] = 2, ["Ġ"] = 3, ["Ċ"] = 4 };
        for (var character = '!'; character <= '~'; character++)
        {
            vocabulary.Add(character.ToString(), vocabulary.Count);
        }

        object Special(int id, string content) => new
        {
            id,
            content,
            single_word = false,
            lstrip = false,
            rstrip = false,
            normalized = false,
            special = true,
        };
        File.WriteAllText(folder.File("tokenizer.json"), JsonSerializer.Serialize(new
        {
            version = "1.0",
            added_tokens = new[] { Special(0, "<pad>"), Special(1, "<s>"), Special(2, "</s>") },
            pre_tokenizer = new { type = "ByteLevel", add_prefix_space = false, trim_offsets = true, use_regex = true },
            post_processor = new
            {
                type = "TemplateProcessing",
                single = new object[]
                {
                    new { SpecialToken = new { id = "<s>", type_id = 0 } },
                    new { Sequence = new { id = "A", type_id = 0 } },
                },
                pair = new object[]
                {
                    new { SpecialToken = new { id = "<s>", type_id = 0 } },
                    new { Sequence = new { id = "A", type_id = 0 } },
                    new { Sequence = new { id = "B", type_id = 1 } },
                },
                special_tokens = new Dictionary<string, object>
                {
                    ["<s>"] = new { id = "<s>", ids = new[] { 1 }, tokens = new[] { "<s>" } },
                },
            },
            decoder = new { type = "ByteLevel", add_prefix_space = true, trim_offsets = true, use_regex = true },
            model = new { type = "BPE", vocab = vocabulary, merges = Array.Empty<string>() },
        }));
        File.WriteAllText(
            folder.File("tokenizer_config.json"),
            """{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}""");
        return folder;
    }

    /// <summary>The id of a printable character in that tokenizer.</summary>
    public static int IdOf(char character) => 5 + (character - '!');
}

/// <summary>A folder that is removed with what it holds.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("reft-tests-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
