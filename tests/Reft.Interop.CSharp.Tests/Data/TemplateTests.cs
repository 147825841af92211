using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Data;

/// <summary>Templates: what text they make, to the letter.</summary>
public static class TemplateTests
{
    private const string WithInput =
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd {0}\n\n### Input:\n1 and {instruction}\n\n### Response:";

    private const string Alone =
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nSay hi\n\n### Response:";

    private const string ChatText =
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

    /// <summary>Templates.</summary>
    [Tests]
    public static readonly Test Templates = Runner.TestList(
        "Row templates",
        [
            Runner.TestCase("Alpaca's two texts", Alpaca),
            Runner.TestCase("a text with columns", Texts),
            Runner.TestCase("a template from a file", FromFile),
            .. new[] { "{", "a }", "{}", "{a{b}", "a {b" }.Select(text => Runner.TestCase($"refused: {text}", () => Check.Throws<ArgumentException>(() => RowTemplate.Text(text), "character", "doubled"))),
            Runner.TestCase("templates refuse columns that are not there", Unknown),
            Runner.TestCase("a text for rows with labels", Labelled),
            Runner.TestCase("conversations are trained on as their renderings' tokens", Chat),
            Runner.TestCase("conversations that cannot be trained on are refused", ChatRefusals),
        ]);

    private static IReadOnlyList<DataRow> Read(string lines, RowUse use, RowTemplate template, string name = "rows.jsonl")
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File(name), lines);
        return DataRow.FromFile(folder.File(name), use, new() { Template = template });
    }

    private static void Alpaca()
    {
        const string Rows = """
            {"instruction": "Add {0}", "input": "1 and {instruction}", "output": "3"}
            {"instruction": "Say hi", "input": "", "output": "hi", "text": "passed over"}
            {"instruction": "Say hi", "output": "hi"}
            """;
        var rows = Read(Rows, RowUse.Train, RowTemplate.Alpaca);
        Check.Same([(WithInput, "3"), (Alone, "hi"), (Alone, "hi")], rows.Select(row => (row.Prompt!, row.Completion!)), "Alpaca");
        var cells = Read("instruction,input,output\nSay hi,,hi\n", RowUse.Train, RowTemplate.Alpaca, "rows.csv");
        Check.Equal((Alone, "hi"), (cells[0].Prompt!, cells[0].Completion!), "of CSV");
        Check.Equal(Alone, Read("""{"instruction": "Say hi"}""", RowUse.Generate, RowTemplate.Alpaca)[0].Prompt, "to generate");
        Check.Throws<InvalidDataException>(() => Read("""{"instruction": "a"}""", RowUse.Train, RowTemplate.Alpaca), ":1", "'completion'");
        Check.Throws<InvalidDataException>(() => Read("""{"output": "a"}""", RowUse.Train, RowTemplate.Alpaca), ":1", "'instruction'");
    }

    private static void Texts()
    {
        var template = RowTemplate.Text("{{{a}}} {b c}: {n}{f}{none}\n{a}", " {x}");
        var row = Read("""{"a": "{b c}", "b c": "B", "n": 1.50, "f": true, "none": null, "x": "y"}""", RowUse.Train, template)[0];
        Check.Equal(("{{b c}} B: 1.50true\n{b c}", " y"), (row.Prompt!, row.Completion!), "filled once");
        Check.Equal(
            ("q: a", "c"), Read("""{"q": "a", "completion": "c"}""", RowUse.Train, RowTemplate.Text("q: {q}")) is [var own] ? (own.Prompt!, own.Completion!) : default, "the field completion");
        var scored = Read("""{"q": "a"}""", RowUse.Score, RowTemplate.Text("q: {q}"))[0];
        Check.Equal(("q: a", null), (scored.Text!, scored.Prompt), "a text to score");
    }

    private static void FromFile()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("t.txt"), "\ufeffQ: {q}\r\nA:\n");
        Check.Equal("Q: a\nA:", Read("""{"q": "a"}""", RowUse.Generate, RowTemplate.Load(folder.File("t.txt")))[0].Prompt, "without the last end of line");
        File.WriteAllText(folder.File("t.txt"), "Q: {");
        Check.Throws<InvalidDataException>(() => RowTemplate.Load(folder.File("t.txt")), "t.txt", "character 4");
        Check.Throws<FileNotFoundException>(() => RowTemplate.Load(folder.File("no.txt")), "no.txt");
    }

    private static void Unknown()
    {
        Check.Throws<InvalidDataException>(
            () => Read("""{"a": "x", "b": "y"}""", RowUse.Generate, RowTemplate.Text("{c}")), ":1", "'c'", "found: a, b"[7..]);
        Check.Throws<InvalidDataException>(
            () => Read("""{"a": ["x"]}""", RowUse.Generate, RowTemplate.Text("{a}")), ":1", "'a'", "an array");
    }

    private static void Labelled()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.csv"), "title,body,label\nT,B,spam\n");
        var row = ClassificationData.FromFile(folder.File("rows.csv"), new() { Template = RowTemplate.Text("{title}: {body}") }).Rows[0];
        Check.Equal(("T: B", "spam"), (row.Text!, row.Label!), "text and label");
        Check.Throws<InvalidDataException>(
            () => ClassificationData.FromFile(folder.File("rows.csv"), new() { Template = RowTemplate.Chat }), "chat template");
    }

    private static void Chat()
    {
        using var folder = TinyLlama.WithTokenizer();
        File.WriteAllText(folder.File("chat_template.jinja"), ChatText);
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        int[] Ids(string text) => [.. model.Tokenizer!.Encode(text, addSpecial: false)];

        const string Turns = """[{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}, {"role": "assistant", "content": "ef"}]""";
        File.WriteAllText(folder.File("rows.jsonl"), $$"""{"messages": {{Turns}}}""");
        var expected = TrainingData.FromExamples([TrainingExample.FromCompletion(
            Ids("<user>ab</user><assistant>c</assistant><user>d</user><assistant>"), Ids("ef</assistant>"))]);
        var loss = model.Evaluate(expected);
        Check.Equal(loss, model.Evaluate(TrainingData.FromFile(folder.File("rows.jsonl"))), "the last message is scored");
        Check.Equal(loss, model.Evaluate(TrainingData.Stream(folder.File("rows.jsonl"))), "on the disk");
        Check.Equal(loss, model.Evaluate(TrainingData.FromConversations([[new("user", "ab"), new("assistant", "c"), new("user", "d"), new("assistant", "ef")]])), "from code");

        File.WriteAllText(folder.File("rows.csv"), "system,question,answer\ns,ab,c\n,ab,c\n");
        var pairs = TrainingData.FromFile(folder.File("rows.csv"), new() { Template = RowTemplate.Chat, Fields = DataFields.Parse("prompt=question,completion=answer") });
        var plain = TrainingData.FromExamples([
            TrainingExample.FromCompletion(Ids("<system>s</system><user>ab</user><assistant>"), Ids("c</assistant>")),
            TrainingExample.FromCompletion(Ids("<user>ab</user><assistant>"), Ids("c</assistant>"))]);
        Check.Equal(model.Evaluate(plain), model.Evaluate(pairs), "pairs as conversations");

        var options = new GenerationOptions { MaxNewTokens = 3, IgnoreEos = true };
        var rows = DataRow.FromFile(folder.File("rows.jsonl"), RowUse.Generate);
        Check.Same(
            model.Generate(Ids("<user>ab</user><assistant>c</assistant><user>d</user><assistant>"), options).TokenIds,
            model.GenerateRows(rows, options).Single().TokenIds,
            "generation begins where the last message does");
    }

    private static void ChatRefusals()
    {
        using var folder = TinyLlama.WithTokenizer();
        using (var bare = ReftModel.Load(folder.Path, TinyLlama.Spec))
        {
            Check.Throws<Exception>(() => bare.Evaluate(Rows("""[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]""")), folder.Path, "template");
        }

        File.WriteAllText(folder.File("chat_template.jinja"), ChatText);
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        Refuses("""[{"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}]""", "'messages[1]'", "'user'");
        Refuses("""[{"role": "assistant", "content": "b"}]""", "'messages[0]'", "only message");
        Refuses("""[]""", "'messages'", "empty");
        Refuses("""["a"]""", "'messages[0]'", "a string");
        Refuses("""{"a": 1}""", "'messages'", "an array of messages");
        File.WriteAllText(folder.File("chat_template.jinja"), "{{ messages | length }}{% if add_generation_prompt %}<assistant>{% endif %}");
        using var other = ReftModel.Load(folder.Path, TinyLlama.Spec);
        Check.Throws<InvalidDataException>(
            () => other.Evaluate(Rows("""[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]""")), "'messages'", "does not precede");

        TrainingData Rows(string messages)
        {
            File.WriteAllText(folder.File("rows.jsonl"), $$"""{"messages": {{messages}}}""");
            return TrainingData.FromFile(folder.File("rows.jsonl"));
        }

        void Refuses(string messages, params string[] parts) =>
            Check.Throws<InvalidDataException>(() => model.Evaluate(Rows(messages)), ["rows.jsonl:1", .. parts]);
    }
}
