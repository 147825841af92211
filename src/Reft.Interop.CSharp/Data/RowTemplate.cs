using System.Text.Json;
using Reft.Internal;

namespace Reft;

/// <summary>What makes the text of a row from its columns.</summary>
public sealed class RowTemplate
{
    private const string AlpacaTask = "Below is an instruction that describes a task";
    private const string AlpacaRequest = "Write a response that appropriately completes the request.\n\n### Instruction:\n";

    private readonly Func<RawRow, string>? _text;
    private readonly Func<RawRow, string?> _completion;
    private readonly string[] _columns;

    private RowTemplate(Func<RawRow, string>? text, Func<RawRow, string?> completion, string[] columns)
    {
        _text = text;
        _completion = completion;
        _columns = columns;
    }

    /// <summary>
    /// Stanford Alpaca's two texts, with and without an input, from the fields <c>instruction</c> and <c>input</c> (which may be
    /// missing or empty); the completion is <c>output</c>.
    /// </summary>
    public static RowTemplate Alpaca { get; } = new(AlpacaText, row => row.Text("output"), []);

    /// <summary>
    /// The chat template of the model that reads the rows: of <c>messages</c> (with <c>tools</c>, if there are any), or of a
    /// conversation of <c>system</c> (if there is one), <c>prompt</c> and <c>completion</c>. Rows of <c>messages</c> need no
    /// template to be named. What is learnt is the last message.
    /// </summary>
    public static RowTemplate Chat { get; } = new(null, row => row.Text("completion"), []);

    internal bool IsChat => _text is null;

    /// <summary>
    /// A text with columns' names in braces, e.g. <c>Question: {question}\nAnswer:</c>; a brace itself is doubled. It makes the
    /// prompt of a row, or its text where it is classified or has no completion.
    /// </summary>
    /// <param name="text">The text of a prompt.</param>
    /// <param name="completion">The text of a completion in the same way; the field <c>completion</c> where it is not given.</param>
    /// <exception cref="ArgumentException">A brace has no partner, or no name in it: the message says where.</exception>
    public static RowTemplate Text(string text, string? completion = null)
    {
        var prompt = PlaceholderText.Parse(text, nameof(text));
        var end = completion is null ? null : PlaceholderText.Parse(completion, nameof(completion));
        return new(prompt.Fill, end is null ? row => row.Text("completion") : end.Fill, [.. prompt.Columns, .. end?.Columns ?? []]);
    }

    /// <summary>Reads the text of a template from a file, UTF-8, without its last end of line.</summary>
    /// <param name="path">The file.</param>
    /// <param name="completion">The text of a completion, itself and no file, as in <see cref="Text"/>.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">The file is not UTF-8, larger than 1 MB, or its braces have no partner.</exception>
    public static RowTemplate Load(string path, string? completion = null)
    {
        const int Most = 1 << 20;
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"there is no file {path}: expected a template", path);
        }

        if (new FileInfo(path).Length > Most)
        {
            throw new InvalidDataException($"{path}: expected a template of at most {Most} bytes");
        }

        try
        {
            var text = RowReader.StrictUtf8.GetString(File.ReadAllBytes(path)).TrimStart('\ufeff').Replace("\r\n", "\n", StringComparison.Ordinal);
            return Text(text.EndsWith('\n') ? text[..^1] : text, completion);
        }
        catch (System.Text.DecoderFallbackException e)
        {
            throw new InvalidDataException($"{path}: the file is not UTF-8", e);
        }
        catch (ArgumentException e) when (e.ParamName == "text")
        {
            throw new InvalidDataException($"{path}: {e.Message.Replace(" (Parameter 'text')", "", StringComparison.Ordinal)}", e);
        }
    }

    internal bool Uses(string column) => _columns.Contains(column, StringComparer.Ordinal);

    /// <summary>A row for a use.</summary>
    internal DataRow Row(RawRow raw, RowUse use)
    {
        var completion = use == RowUse.Generate ? null : _completion(raw);
        var row = new DataRow { Subspaces = raw.Numbers("subspaces"), Source = raw.Source };
        if (_text is null)
        {
            return row with { Messages = raw.Structure("messages") ?? Conversation(raw, completion), Tools = raw.Structure("tools") };
        }

        var text = _text(raw);
        return use == RowUse.Score && completion is null
            ? row with { Text = text }
            : row with { Prompt = text, Completion = completion };
    }

    /// <summary>The text of a row that is labelled.</summary>
    internal string LabelledText(RawRow raw) =>
        _text?.Invoke(raw) ?? throw RowError.Of(raw.Source, null, "a chat template makes prompts, and rows with labels have none: use a text with {columns}");

    private static JsonElement Conversation(RawRow raw, string? completion)
    {
        var prompt = raw.Text("prompt") ?? throw RowForm.Refuse(raw.Source, raw.NameOf("prompt"), "expected 'messages', or a 'prompt', found neither");
        (string Role, string? Content)[] turns = [("system", raw.Text("system")), ("user", prompt), ("assistant", completion)];
        return JsonSerializer.SerializeToElement(turns.Where(turn => turn.Content is not null)
            .Select(turn => new Dictionary<string, string> { ["role"] = turn.Role, ["content"] = turn.Content! }));
    }

    private static string AlpacaText(RawRow raw)
    {
        var instruction = raw.Text("instruction")
            ?? throw RowForm.Refuse(raw.Source, raw.NameOf("instruction"), "the Alpaca template expects it, found none");
        return raw.Text("input") is { Length: > 0 } input
            ? $"{AlpacaTask}, paired with an input that provides further context. {AlpacaRequest}{instruction}\n\n### Input:\n{input}\n\n### Response:"
            : $"{AlpacaTask}. {AlpacaRequest}{instruction}\n\n### Response:";
    }
}
