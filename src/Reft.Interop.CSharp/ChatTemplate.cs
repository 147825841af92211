using System.Text.Json;
using Reft.Internal;

namespace Reft;

/// <summary>
/// The chat template of a model: the Jinja text that turns a conversation into the prompt that the model was trained on.
/// Rendered exactly as transformers renders it, without libtorch, in a sandbox: no input or output, and bounded steps,
/// strings and text.
/// </summary>
public sealed class ChatTemplate
{
    private readonly Core.ChatTemplates _templates;

    private ChatTemplate(Core.ChatTemplates templates) => _templates = templates;

    /// <summary>The names of the templates; <c>default</c> where there is one alone.</summary>
    public IReadOnlyList<string> Names => [.. _templates.Templates.Select(template => template.Item1)];

    /// <summary>
    /// Reads the template of a model folder (<c>chat_template.jinja</c>, <c>additional_chat_templates</c>, or
    /// <c>chat_template</c> in <c>tokenizer_config.json</c>), of a <c>tokenizer_config.json</c>, or of a template's own file.
    /// </summary>
    /// <param name="path">The folder or file.</param>
    /// <exception cref="FileNotFoundException">There is no such folder or file.</exception>
    /// <exception cref="InvalidDataException">
    /// There is no template in it, or it has what is not supported: the message names the construct and the line.
    /// </exception>
    public static ChatTemplate Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return new(Core.ChatTemplatesModule.load(path));
    }

    /// <summary>Reads a template from a text.</summary>
    /// <param name="text">The template.</param>
    /// <exception cref="InvalidDataException">
    /// It has what is not supported: the message names the construct and the line.
    /// </exception>
    public static ChatTemplate Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        const string source = "the chat template";
        var template = Core.JinjaTemplateModule.parse(source, text);
        return new(new Core.ChatTemplates(
            source,
            new[] { Tuple.Create("default", template) }.ToFSharpList(),
            Enumerable.Empty<Tuple<string, JsonElement>>().ToFSharpList()));
    }

    /// <summary>The prompt of a conversation.</summary>
    /// <param name="messages">The messages, oldest first.</param>
    /// <param name="options">How it is rendered.</param>
    /// <exception cref="InvalidDataException">
    /// The template refuses the conversation, fails on it, or goes beyond a limit: the message names the line.
    /// </exception>
    public string Render(IEnumerable<ChatMessage> messages, ChatRenderOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return Render(
            JsonSerializer.SerializeToElement(messages.Select(message => new Dictionary<string, string>
            {
                ["role"] = message.Role,
                ["content"] = message.Content,
            })),
            options);
    }

    /// <summary>The prompt of a conversation in JSON, with whatever the template reads: tool calls, parts of content, names.</summary>
    /// <param name="messages">An array of objects with <c>role</c>, <c>content</c> and more.</param>
    /// <param name="options">How it is rendered.</param>
    /// <exception cref="InvalidDataException">
    /// The template refuses the conversation, fails on it, or goes beyond a limit: the message names the line.
    /// </exception>
    public string Render(JsonElement messages, ChatRenderOptions? options = null)
    {
        options ??= new ChatRenderOptions();
        var template = Core.ChatTemplatesModule.choose(options.TemplateName.ToOption(), options.Tools is not null, _templates);
        return Core.JinjaTemplateModule.render(
            new Core.ChatInput(
                messages,
                options.Tools.ToOption(),
                options.Documents.ToOption(),
                options.AddGenerationPrompt,
                options.ContinueFinalMessage,
                _templates.SpecialTokens
                    .Concat(options.Variables.Select(variable => Tuple.Create(variable.Key, variable.Value)))
                    .ToFSharpList(),
                options.Now ?? DateTime.Now),
            template);
    }
}
