using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace BaseModel.Tokenizer;

/// <summary>
/// A vocabulary as Hugging Face's <c>tokenizer.json</c> and <c>tokenizer_config.json</c>. Encoding puts &lt;|bos|&gt; in
/// front; nothing is put at the end.
/// </summary>
internal static class TokenizerFiles
{
    private static readonly JsonSerializerOptions Readable = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    // modelMaxLength: the most tokens the model is meant to read, which tokenizers report to their users.
    public static void Write(string folder, BpeVocabulary vocabulary, int modelMaxLength)
    {
        AtomicFile.WriteText(Path.Combine(folder, "tokenizer.json"), TokenizerJson(vocabulary).ToJsonString(Readable) + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "tokenizer_config.json"), ConfigJson(modelMaxLength).ToJsonString(Readable) + "\n");
    }

    /// <summary>Reads back what <see cref="Write"/> wrote.</summary>
    /// <exception cref="InvalidDataException">The file is another program's: its ids are laid out differently.</exception>
    public static BpeVocabulary Read(string folder)
    {
        string path = Path.Combine(folder, "tokenizer.json");
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
        JsonElement model = document.RootElement.GetProperty("model");
        Dictionary<string, int> ids = model.GetProperty("vocab").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetInt32());

        BpeVocabulary vocabulary = new(
        [
            .. from merge in model.GetProperty("merges").EnumerateArray()
               select new Merge(ids[merge[0].GetString()!], ids[merge[1].GetString()!]),
        ]);

        return vocabulary.Names().Index().All(entry => ids.GetValueOrDefault(entry.Item, -1) == entry.Index) && ids.Count == vocabulary.Size
            ? vocabulary
            : throw new InvalidDataException($"{path} was not written by the subcommand 'tokenizer': its ids are not specials, bytes, merges");
    }

    private static JsonObject TokenizerJson(BpeVocabulary vocabulary)
    {
        IReadOnlyList<string> names = vocabulary.Names();
        return new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray([.. SpecialTokens.All.Index().Select(entry => AddedToken(entry.Index, entry.Item))]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = PreTokenizer.Pattern },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    ByteLevel()),
            },
            ["post_processor"] = new JsonObject
            {
                ["type"] = "TemplateProcessing",
                ["single"] = new JsonArray(SpecialPiece(0), SequencePiece("A", 0)),
                ["pair"] = new JsonArray(SpecialPiece(0), SequencePiece("A", 0), SpecialPiece(1), SequencePiece("B", 1)),
                ["special_tokens"] = new JsonObject
                {
                    [SpecialTokens.Bos] = new JsonObject
                    {
                        ["id"] = SpecialTokens.Bos,
                        ["ids"] = new JsonArray(SpecialTokens.BosId),
                        ["tokens"] = new JsonArray(SpecialTokens.Bos),
                    },
                },
            },
            ["decoder"] = ByteLevel(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null,
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["ignore_merges"] = false,
                ["vocab"] = new JsonObject(names.Index().Select(entry => KeyValuePair.Create(entry.Item, (JsonNode?)entry.Index))),
                ["merges"] = new JsonArray([.. vocabulary.Merges.Select(merge => new JsonArray(names[merge.Left], names[merge.Right]))]),
            },
        };
    }

    private static JsonObject ConfigJson(int modelMaxLength) => new()
    {
        ["added_tokens_decoder"] = new JsonObject(
            SpecialTokens.All.Index().Select(entry =>
            {
                JsonObject token = AddedToken(entry.Index, entry.Item);
                token.Remove("id");
                return KeyValuePair.Create(entry.Index.ToString(), (JsonNode?)token);
            })),
        ["bos_token"] = SpecialTokens.Bos,
        ["eos_token"] = SpecialTokens.Eos,
        ["pad_token"] = SpecialTokens.Pad,
        ["clean_up_tokenization_spaces"] = false,
        ["model_max_length"] = modelMaxLength,
        ["tokenizer_class"] = "PreTrainedTokenizerFast",
    };

    private static JsonObject AddedToken(int id, string content) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = true,
    };

    private static JsonObject ByteLevel() => new()
    {
        ["type"] = "ByteLevel",
        ["add_prefix_space"] = false,
        ["trim_offsets"] = true,
        ["use_regex"] = false,
    };

    private static JsonObject SpecialPiece(int type) =>
        new() { ["SpecialToken"] = new JsonObject { ["id"] = SpecialTokens.Bos, ["type_id"] = type } };

    private static JsonObject SequencePiece(string id, int type) =>
        new() { ["Sequence"] = new JsonObject { ["id"] = id, ["type_id"] = type } };
}
