using System.Text.Json;

namespace Reft.Internal;

/// <summary>Conversations → the texts that a model's chat template makes of them.</summary>
/// <param name="folder">The model's folder.</param>
internal sealed class ConversationRenderer(string folder)
{
    private const string Assistant = "assistant";

    // One time for all rows: a row that is rendered again is the same.
    private readonly DateTime _now = DateTime.Now;
    private readonly Lazy<ChatTemplate> _template = new(() => ChatTemplate.Load(folder));

    /// <summary>The prompt of the assistant's next message. One that is there already is left out.</summary>
    public string Prompt(JsonElement messages, JsonElement? tools, string source)
    {
        var all = Messages(messages, source);
        return Render(RoleOf(all[^1]) == Assistant && all.Length > 1 ? all[..^1] : all, tools, true, source);
    }

    /// <summary>The assistant's last message, and what precedes it.</summary>
    public (string Prompt, string Answer) Split(JsonElement messages, JsonElement? tools, string source)
    {
        var all = Messages(messages, source);
        if (RoleOf(all[^1]) != Assistant || all.Length < 2)
        {
            throw RowForm.Refuse(
                source,
                $"messages[{all.Length - 1}]",
                all.Length < 2 ? "it is the only message: expected one before it" : $"expected the last message to be the assistant's, found one of the role '{RoleOf(all[^1])}'");
        }

        var prompt = Render(all[..^1], tools, true, source);
        var whole = Render(all, tools, false, source);
        return whole.StartsWith(prompt, StringComparison.Ordinal)
            ? (prompt, whole[prompt.Length..])
            : throw RowForm.Refuse(
                source, "messages", "the chat template renders the conversation otherwise with its last message than without it, so the prompt does not precede the answer: this template cannot be trained on by messages");
    }

    private string Render(JsonElement[] messages, JsonElement? tools, bool generation, string source)
    {
        try
        {
            return _template.Value.Render(
                JsonSerializer.SerializeToElement(messages),
                new ChatRenderOptions { Tools = tools, AddGenerationPrompt = generation, Now = _now });
        }
        catch (InvalidDataException e)
        {
            throw RowError.Of(source, "messages", e.Message, e);
        }
    }

    private static JsonElement[] Messages(JsonElement messages, string source)
    {
        JsonElement[] all = messages.ValueKind == JsonValueKind.Array
            ? [.. messages.EnumerateArray()]
            : throw RowForm.Refuse(source, "messages", $"expected an array of messages, found {RowReader.Kind(messages)}");
        for (var i = 0; i < all.Length; i++)
        {
            if (all[i].ValueKind != JsonValueKind.Object || RoleOf(all[i]) is null)
            {
                throw RowForm.Refuse(source, $"messages[{i}]", $"expected an object with a 'role', found {RowReader.Kind(all[i])}");
            }
        }

        return all.Length > 0 ? all : throw RowForm.Refuse(source, "messages", "it is empty: expected at least one message");
    }

    private static string? RoleOf(JsonElement message) =>
        message.TryGetProperty("role", out var role) && role.ValueKind == JsonValueKind.String ? role.GetString() : null;
}
