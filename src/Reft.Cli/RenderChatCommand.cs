using System.CommandLine;
using System.Text;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft render-chat</c>: the prompts that a model's chat template makes of conversations.</summary>
internal static class RenderChatCommand
{
    private static readonly Encoding StrictUtf8 = new UTF8Encoding(false, throwOnInvalidBytes: true);

    private static readonly Argument<string> Folder = new("DIR")
    {
        Description = "A model folder, a tokenizer_config.json, or a template's own file.",
    };

    private static readonly Option<string> Input = Values.Required(
        "--input",
        "FILE.jsonl",
        """Rows {"messages": […], "tools": […], "documents": […], "add_generation_prompt": true, "continue_final_message": false, "kwargs": {more variables}}; all but messages may be left out.""");

    private static readonly Option<string?> Template = Values.Text(
        "--template", "NAME", "Which template of several; tool_use for rows with tools, else default, where it is not given.");

    private static readonly Option<bool> Json = CommonOptions.Json("""one line per row, {"text": …},""");

    public static Command Create()
    {
        var command = new Command("render-chat", "Render conversations with a model's chat template.")
        {
            Folder, Input, Template, Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var template = ChatTemplate.Load(parsed.GetRequiredValue(Folder));
        foreach (var (source, line) in Lines(parsed.GetRequiredValue(Input)))
        {
            var text = Render(template, parsed.GetValue(Template), source, line);
            if (parsed.GetValue(Json))
            {
                output.JsonLine(json => json.WriteString("text", text));
            }
            else
            {
                output.Line(text);
            }
        }

        return ExitCode.Success;
    }

    private static IEnumerable<(string Source, string Line)> Lines(string path)
    {
        using var reader = new StreamReader(path, StrictUtf8);
        for (var number = 1; ; number++)
        {
            var source = $"{path}:{number}";
            string? line;
            try
            {
                line = reader.ReadLine();
            }
            catch (DecoderFallbackException e)
            {
                throw new InvalidDataException($"{source}: the file is not UTF-8: {e.Message}", e);
            }

            if (line is null)
            {
                yield break;
            }

            if (!string.IsNullOrWhiteSpace(line))
            {
                yield return (source, line);
            }
        }
    }

    private static string Render(ChatTemplate template, string? name, string source, string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line, new JsonDocumentOptions { AllowDuplicateProperties = false });
            var row = document.RootElement;
            if (row.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException($"expected a JSON object, found {row.GetRawText()}");
            }

            return template.Render(
                Field(row, "messages") ?? throw new InvalidDataException("expected a field 'messages', found none"),
                new ChatRenderOptions
                {
                    Tools = Field(row, "tools"),
                    Documents = Field(row, "documents"),
                    AddGenerationPrompt = Flag(row, "add_generation_prompt"),
                    ContinueFinalMessage = Flag(row, "continue_final_message"),
                    Variables = Variables(row),
                    TemplateName = name,
                });
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"{source}: {e.Message}", e);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The second is what half a surrogate pair in a name gives.
            throw new InvalidDataException($"{source}: not valid JSON: {e.Message}", e);
        }
    }

    private static JsonElement? Field(JsonElement row, string name) =>
        row.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static bool Flag(JsonElement row, string name) =>
        Field(row, name) switch
        {
            null or { ValueKind: JsonValueKind.False } => false,
            { ValueKind: JsonValueKind.True } => true,
            { } other => throw new InvalidDataException($"field '{name}': expected true or false, found {other.GetRawText()}"),
        };

    private static Dictionary<string, JsonElement> Variables(JsonElement row) =>
        Field(row, "kwargs") switch
        {
            null => [],
            { ValueKind: JsonValueKind.Object } variables => variables.EnumerateObject()
                .ToDictionary(variable => variable.Name, variable => variable.Value),
            { } other => throw new InvalidDataException($"field 'kwargs': expected an object, found {other.GetRawText()}"),
        };
}
