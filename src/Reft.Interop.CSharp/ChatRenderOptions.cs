using System.Text.Json;

namespace Reft;

/// <summary>How a conversation is rendered: the arguments of transformers' <c>apply_chat_template</c>.</summary>
public sealed record ChatRenderOptions
{
    /// <summary>A JSON array of tools, usually <c>{"type": "function", "function": …}</c>; without it the template sees <c>none</c>.</summary>
    public JsonElement? Tools { get; init; }

    /// <summary>A JSON array of documents; without it the template sees <c>none</c>.</summary>
    public JsonElement? Documents { get; init; }

    /// <summary>Whether the prompt ends where the assistant's answer begins.</summary>
    public bool AddGenerationPrompt { get; init; }

    /// <summary>Whether the last message is left open, so that the model goes on with it.</summary>
    public bool ContinueFinalMessage { get; init; }

    /// <summary>
    /// More variables by name, e.g. <c>enable_thinking</c>; they take the place of special tokens of the same names.
    /// </summary>
    public IReadOnlyDictionary<string, JsonElement> Variables { get; init; } = new Dictionary<string, JsonElement>();

    /// <summary>
    /// Which template of several; without it <c>tool_use</c> where there are tools and such a template, else <c>default</c>.
    /// </summary>
    public string? TemplateName { get; init; }

    /// <summary>The local time that a template shows as today's; the machine's where it is not given.</summary>
    public DateTime? Now { get; init; }
}
