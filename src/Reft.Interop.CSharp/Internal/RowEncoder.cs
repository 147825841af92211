using System.Text.Json;

namespace Reft.Internal;

/// <summary>Rows → token ids, labels and prompts, for one model.</summary>
/// <param name="Tokenizer">The model's tokenizer, if it has one.</param>
/// <param name="Refusal">Why the tokenizer that the folder has cannot be used, if so.</param>
/// <param name="Vocabulary">The number of ids that the model knows.</param>
/// <param name="SegmentTypes">How many kinds of segments it tells apart.</param>
/// <param name="EosId">What ends a completion in training, if the model has such a token.</param>
/// <param name="Chat">Renders conversations; it is read from the model's folder when the first one comes.</param>
internal sealed partial record RowEncoder(
    Core.TextTokenizer? Tokenizer, string? Refusal, int Vocabulary, int SegmentTypes, int? EosId, ConversationRenderer Chat)
{
    /// <summary>That of a model's folder, whose weights are not read, and the model's context.</summary>
    /// <exception cref="FileNotFoundException">There is no such folder, or no configuration in it.</exception>
    /// <exception cref="InvalidDataException">The configuration is damaged, or of a kind that is not supported.</exception>
    public static (RowEncoder Encoder, int Context) OfFolder(string folder)
    {
        var config = Core.ConfigFile.ofFolder(folder);
        var (tokenizer, refusal) = TokenizerOf(folder);
        var ends = Core.ConfigFile.eosIds(folder, config);
        return (
            new(tokenizer, refusal, config.Vocabulary, config.SegmentTypes, EosOf([.. ends], tokenizer), new(folder)), config.Context);
    }

    /// <summary>The tokenizer of a folder; rows of token ids need none, so one that cannot be read is refused when text comes.</summary>
    public static (Core.TextTokenizer? Tokenizer, string? Refusal) TokenizerOf(string folder)
    {
        if (!Directory.Exists(folder) || !Core.TokenizerFile.exists(folder))
        {
            return (null, null);
        }

        try
        {
            return (Core.TokenizerFile.load(folder), null);
        }
        catch (InvalidDataException e)
        {
            return (null, e.Message);
        }
    }

    /// <summary>
    /// What ends a completion, of the ids that end a generation: the tokenizer's own end if it is among them, as of several
    /// ends (of text, of turn) that one ends a completion; else the first. The tokenizer's where there are none.
    /// </summary>
    public static int? EosOf(IReadOnlyList<int> ends, Core.TextTokenizer? tokenizer) =>
        tokenizer?.EosId.ToNullable() is { } named && (ends.Count == 0 || ends.Contains(named)) ? named
        : ends is [var first, ..] ? first
        : null;

    public Core.Example Encode(RowUse use, DataRow row, int index)
    {
        var source = row.Source ?? $"row {index}";
        RowForm.Check(use, row, source);
        var example = row switch
        {
            { Prompt: { } prompt } when use == RowUse.Generate => WholePrompt(EncodePrompt(prompt, "prompt", source)),
            { Prompt: { } prompt, Completion: { } completion } => OfCompletion(use, prompt, completion, source),
            { Messages: { } messages } => OfMessages(use, messages, row.Tools, source),
            { Text: { } text } => Core.ExampleModule.ofText(EncodePrompt(text, "text", source)),
            _ => OfIds(row, source),
        };
        return WithSubspaces(row.Subspaces, use == RowUse.Generate
            ? WholePrompt(NotEmpty(example.Ids[..example.Prompt], "prompt_length", source, "the prompt is empty"))
            : example);
    }

    /// <summary>The ids of a prompt, without those that a row may have after it.</summary>
    public int[] EncodePrompt(string text, string field, string source) =>
        NotEmpty(OfText(Needed(field, source).EncodePrompt(text), field, source), field, source);

    public int[] CheckIds(IReadOnlyList<int> ids, string field, string source)
    {
        for (var i = 0; i < ids.Count; i++)
        {
            if (!IsKnown(ids[i]))
            {
                throw RowForm.Refuse(source, $"{field}[{i}]", $"expected a token id of 0 … {Vocabulary - 1}, found {ids[i]}");
            }
        }

        return NotEmpty([.. ids], field, source);
    }

    private bool IsKnown(int id) => id >= 0 && id < Vocabulary;

    // A tokenizer may have tokens for which the model has no row: the embedding would fail without naming the text.
    private int[] OfText(int[] ids, string field, string source) =>
        Array.FindIndex(ids, id => !IsKnown(id)) is >= 0 and var i
            ? throw RowForm.Refuse(
                source, field, $"its token {i} has the id {ids[i]} in tokenizer.json, and the model knows the ids 0 … {Vocabulary - 1}: the two do not belong together")
            : ids;

    private static Core.Example WithSubspaces(IReadOnlyList<int>? numbers, Core.Example example) =>
        numbers is { } subspaces
            ? new(example.Ids, example.Labels, example.Prompt, subspaces.ToFSharpList(), example.Segments, example.Target, example.Rejected)
            : example;

    private static Core.Example WholePrompt(int[] ids) => Core.ExampleModule.ofText(ids);

    private Core.Example OfCompletion(RowUse use, string prompt, string completion, string source)
    {
        var promptIds = EncodePrompt(prompt, "prompt", source);
        var completionIds = OfText(Needed("completion", source).EncodeCompletion(completion), "completion", source);
        return use == RowUse.Train && EosId is { } eos
            ? Core.ExampleModule.ofCompletion(promptIds, [.. completionIds, KnownEos(eos, source)])
            : Core.ExampleModule.ofCompletion(promptIds, completionIds);
    }

    // The template writes what stands before and after a text, special tokens included.
    private Core.Example OfMessages(RowUse use, JsonElement messages, JsonElement? tools, string source)
    {
        if (use == RowUse.Generate)
        {
            return WholePrompt(Rendered(Chat.Prompt(messages, tools, source), source));
        }

        var (prompt, answer) = Chat.Split(messages, tools, source);
        return Core.ExampleModule.ofCompletion(Rendered(prompt, source), Rendered(answer, source));
    }

    private int[] Rendered(string text, string source) =>
        NotEmpty(OfText(Needed("messages", source).Encode(text, false), "messages", source), "messages", source);

    private Core.Example OfIds(DataRow row, string source)
    {
        var ids = CheckIds(row.InputIds!, "input_ids", source);
        if (row.Labels is not { } labels)
        {
            return row.PromptLength is not { } length
                ? Core.ExampleModule.ofText(ids)
                : length < 0 || length > ids.Length
                ? throw RowForm.Refuse(source, "prompt_length", $"expected 0 … {ids.Length}, found {length}")
                : Core.ExampleModule.ofCompletion(ids[..length], ids[length..]);
        }

        for (var i = 0; i < labels.Count; i++)
        {
            if (labels[i] >= Vocabulary)
            {
                throw RowForm.Refuse(source, $"labels[{i}]", $"expected a token id of 0 … {Vocabulary - 1} or -100, found {labels[i]}");
            }
        }

        try
        {
            return Core.ExampleModule.ofLabels(row.PromptLength.ToOption(), ids, [.. labels]);
        }
        catch (ArgumentException e)
        {
            var field = e.ParamName == "prompt" ? "prompt_length" : "labels";
            var message = e.Message.Replace($" (Parameter '{e.ParamName}')", "", StringComparison.Ordinal);
            throw RowError.Of(source, field, message, e);
        }
    }

    private Core.TextTokenizer Needed(string field, string source) =>
        Tokenizer ?? throw RowForm.Refuse(
            source,
            field,
            $"{Refusal ?? "the model's folder holds no tokenizer.json or tokenizer.model"}; text cannot be read: give token ids ('input_ids')");

    private int KnownEos(int eos, string source) =>
        IsKnown(eos)
            ? eos
            : throw RowForm.Refuse(
                source, "completion", $"the end-of-sequence token after it has the id {eos}, and the model knows the ids 0 … {Vocabulary - 1}");

    private static int[] NotEmpty(int[] ids, string field, string source, string problem = "it is empty") =>
        ids.Length > 0 ? ids : throw RowForm.Refuse(source, field, $"{problem}: expected at least one token");
}
