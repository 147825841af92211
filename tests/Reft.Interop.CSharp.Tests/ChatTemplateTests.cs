using System.Text.Json;
using Expecto;
using Expecto.CSharp;
using Reft.Tests.Cli;

namespace Reft.Tests;

/// <summary>Chat templates from C# and from the command line.</summary>
public static class ChatTemplateTests
{
    private const string Template =
        """
        {{ bos_token }}{% for m in messages %}
        <{{ m.role }}>{{ m.content }}{{ m.name if m.name is defined }}
        {% endfor %}
        {% if tools %}[{{ tools | tojson }}]{% endif %}
        {% if mood is defined %}({{ mood }}){% endif %}
        {% if add_generation_prompt %}<assistant>{% endif %}
        """;

    /// <summary>Chat templates.</summary>
    [Tests]
    public static readonly Test Chats = Runner.TestList(
        "Chat templates",
        [
            Runner.TestCase("a folder's template renders messages, tools and variables", FromFolder),
            Runner.TestCase("the time is an argument", Time),
            Runner.TestCase("what is wrong is said with its place", Refusals),
            Runner.TestCase("render-chat gives one line per row and loads no native library", CommandLine),
            Runner.TestCase("render-chat names the row that is wrong", CommandLineErrors),
        ]);

    private static TemporaryFolder NewFolder()
    {
        var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("chat_template.jinja"), Template);
        File.WriteAllText(folder.File("tokenizer_config.json"), """{"bos_token": {"content": "<s>"}, "eos_token": "</s>"}""");
        return folder;
    }

    private static JsonElement Json(string text) => JsonSerializer.Deserialize<JsonElement>(text);

    private static void FromFolder()
    {
        using var folder = NewFolder();
        var template = ChatTemplate.Load(folder.Path);
        Check.Same(["default"], template.Names, "names");
        Check.Equal(
            "<s><user>Hi\n<assistant>",
            template.Render([new ChatMessage("user", "Hi")], new ChatRenderOptions { AddGenerationPrompt = true }),
            "simple messages");
        Check.Equal(
            "<b><user>Hi é😀ann\n[[{\"name\": \"f\"}]](fine)",
            template.Render(
                Json("""[{"role": "user", "content": "Hi é😀", "name": "ann"}]"""),
                new ChatRenderOptions
                {
                    Tools = Json("""[{"name": "f"}]"""),
                    Variables = new Dictionary<string, JsonElement> { ["mood"] = Json("\"fine\""), ["bos_token"] = Json("\"<b>\"") },
                }),
            "JSON");
        Check.Equal(
            "<s><assistant>So",
            template.Render([new ChatMessage("assistant", "So")], new ChatRenderOptions { ContinueFinalMessage = true }),
            "a message that is left open");
    }

    private static void Time() =>
        Check.Equal(
            "26 Jul 2024",
            ChatTemplate.Parse("{{ strftime_now('%d %b %Y') }}")
                .Render([], new ChatRenderOptions { Now = new DateTime(2024, 7, 26) }),
            "the day");

    private static void Refusals()
    {
        using var folder = NewFolder();
        Check.Throws<InvalidDataException>(() => ChatTemplate.Parse("\n{% include 'x' %}"), "line 2", "'include'");
        Check.Throws<InvalidDataException>(
            () => ChatTemplate.Parse("{{ raise_exception('alternate!') }}").Render([]), "line 1", "alternate!");
        Check.Throws<FileNotFoundException>(() => ChatTemplate.Load(folder.File("missing")), "missing");
        Check.Throws<InvalidDataException>(
            () => ChatTemplate.Load(folder.Path).Render([], new ChatRenderOptions { TemplateName = "rag" }), "'rag'", "'default'");
        Check.Throws<InvalidDataException>(
            () => ChatTemplate.Load(folder.Path).Render(Json("{}")), "messages", "a list");
    }

    private static void CommandLine()
    {
        using var folder = NewFolder();
        var input = folder.File("rows.jsonl");
        File.WriteAllLines(
            input,
            [
                """{"messages": [{"role": "user", "content": "a\u2028é"}], "tools": null, "add_generation_prompt": true, "kwargs": {"mood": 1.0}}""",
                "",
                """{"messages": [], "tools": [{"a": true}]}""",
            ]);
        var found = ReftProcess.Run(["render-chat", folder.Path, "--input", input, "--json"], [("REFT_LIBTORCH", "/nowhere")])
            .Succeeded().Json;
        Check.Same(
            ["<s><user>a\u2028é\n(1.0)<assistant>", "<s>[[{\"a\": true}]]"],
            found.Select(row => row.GetProperty("text").GetString()),
            "texts");
        Check.Equal(
            "<user>a\u2028é\n(1.0)<assistant>\n[[{\"a\": true}]]\n",
            ReftProcess.Run("render-chat", folder.File("chat_template.jinja"), "--input", input).Succeeded().Output,
            "a template's own file, which has no special tokens");
    }

    private static void CommandLineErrors()
    {
        using var folder = NewFolder();
        var input = folder.File("rows.jsonl");
        Fails("""{"tools": []}""", "'messages'");
        Fails("[1]", "expected a JSON object");
        Fails("""{"messages": 1}""", "messages", "a list");
        Fails("""{"messages": [], "add_generation_prompt": 1}""", "'add_generation_prompt'");
        Fails("""{"messages": [], "kwargs": []}""", "'kwargs'");
        Fails("""{"messages": [""", "not valid JSON");
        Fails("""{"messages": ["\ud800"]}""", "Unicode");
        File.WriteAllText(folder.File("chat_template.jinja"), "\n{{ raise_exception('never') }}");
        Fails("""{"messages": []}""", "line 2", "never");
        File.Delete(folder.File("chat_template.jinja"));
        ReftProcess.Run("render-chat", folder.Path, "--input", input).FailedWith(1, "chat_template.jinja", "tokenizer_config.json");

        void Fails(string row, params string[] parts)
        {
            // A blank line counts.
            File.WriteAllLines(input, ["", row]);
            ReftProcess.Run("render-chat", folder.Path, "--input", input, "--json").FailedWith(1, ["rows.jsonl:2", .. parts]);
        }
    }
}
