using System.Text.Json;
using Reft.Internal;

namespace Reft;

/// <summary>What rows are read for; it decides which forms they may have.</summary>
public enum RowUse
{
    /// <summary><c>prompt</c> and <c>completion</c>, or <c>input_ids</c> with <c>labels</c> or <c>prompt_length</c>.</summary>
    Train,

    /// <summary><c>prompt</c>, or <c>input_ids</c>. Where a row says what its prompt is, generation begins after it.</summary>
    Generate,

    /// <summary>Every form of <see cref="Train"/>, and <c>text</c> or <c>input_ids</c> alone, of which every token is scored.</summary>
    Score,
}

/// <summary>
/// One row of data as it stands in a file, before it is tokenised. Training, generation and scoring read the same rows.
/// </summary>
/// <remarks>
/// The prompt, to which positions refer, is what precedes the first scored token: <see cref="Prompt"/>, labels of −100 or
/// <see cref="PromptLength"/> say where it ends; where nothing does, the whole row is the prompt. A conversation is
/// rendered by the chat template of the model that reads it: what precedes the last message is the prompt.
/// </remarks>
public sealed record DataRow
{
    /// <summary>The text that precedes the completion (<c>prompt</c>).</summary>
    public string? Prompt { get; init; }

    /// <summary>The text that follows the prompt (<c>completion</c>): each of its tokens is scored.</summary>
    public string? Completion { get; init; }

    /// <summary>A text without a prompt (<c>text</c>).</summary>
    public string? Text { get; init; }

    /// <summary>Token ids (<c>input_ids</c>).</summary>
    public IReadOnlyList<int>? InputIds { get; init; }

    /// <summary>
    /// Aligned with the ids (<c>labels</c>; they are shifted inside): the id where it is scored, −100 where it is not.
    /// </summary>
    public IReadOnlyList<int>? Labels { get; init; }

    /// <summary>How many of the first ids are the prompt (<c>prompt_length</c>).</summary>
    public int? PromptLength { get; init; }

    /// <summary>
    /// The numbers of the subspaces that act on this row (<c>subspaces</c>), for interventions that have several, such as
    /// partitioned LoReFT; all where it is not given. Training, scoring and generating alike.
    /// </summary>
    public IReadOnlyList<int>? Subspaces { get; init; }

    /// <summary>
    /// A conversation (<c>messages</c>): an array of objects with <c>role</c>, <c>content</c> and whatever the model's chat
    /// template reads. In training and scoring its last message is the assistant's, and what is learnt or scored.
    /// </summary>
    public JsonElement? Messages { get; init; }

    /// <summary>What tools the conversation may call (<c>tools</c>), as the chat template expects them.</summary>
    public JsonElement? Tools { get; init; }

    /// <summary>Where the row comes from, for messages: <c>data.jsonl:12</c>.</summary>
    public string? Source { get; init; }

    /// <summary>A row of a conversation, oldest message first.</summary>
    public static DataRow FromMessages(IEnumerable<ChatMessage> messages) =>
        new()
        {
            Messages = JsonSerializer.SerializeToElement(messages.Select(message => new Dictionary<string, string>
            {
                ["role"] = message.Role,
                ["content"] = message.Content,
            })),
        };

    /// <summary>
    /// Reads rows from a file of JSON Lines, JSON, CSV, TSV or Parquet. Blank lines and columns that are not known are passed
    /// over.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="use">What they are read for.</param>
    /// <param name="options">Its format, the names of its columns, a template, and whether its rows stay on the disk.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not of a form for the use: the message names the file, the row and the field.</exception>
    public static IReadOnlyList<DataRow> FromFile(string path, RowUse use, DataOptions? options = null) =>
        RowReader.ReadFile(path, options, raw => RowShape.Row(raw, options?.Template, use));

    /// <summary>Reads rows from a JSON Lines file: one JSON object per line; blank lines and unknown fields are passed over.</summary>
    /// <param name="path">The file, UTF-8.</param>
    /// <param name="use">What they are read for.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the file, the line and the field.</exception>
    public static IReadOnlyList<DataRow> FromJsonLines(string path, RowUse use) => FromFile(path, use, new DataOptions { Format = DataFormat.JsonLines });

    /// <summary>Reads rows as <see cref="FromJsonLines(string, RowUse)"/> does.</summary>
    /// <param name="reader">The lines.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="use">What they are read for.</param>
    /// <exception cref="InvalidDataException">A line is not such a row: the message names the line and the field.</exception>
    public static IReadOnlyList<DataRow> FromJsonLines(TextReader reader, string name, RowUse use) =>
        RowReader.ReadLines(reader, name, raw => RowShape.Row(raw, null, use));
}
