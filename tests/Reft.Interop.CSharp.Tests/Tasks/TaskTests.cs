using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Tasks;

/// <summary>Prompts letter by letter, and files as their projects publish them, with contents of our own.</summary>
public static class TaskTests
{
    /// <summary>Prompts, files and refusals.</summary>
    [Tests]
    public static readonly Test Tasks = Runner.TestList(
        "Evaluation tasks",
        [
            Runner.TestCase("prompts, letter by letter", Prompts),
            Runner.TestCase("commonsense: what is learnt and what is right", Commonsense),
            Runner.TestCase("arithmetic: texts, numbers and letters in an array", Arithmetic),
            Runner.TestCase("GSM8K in its own format", Gsm8K),
            Runner.TestCase("GSM8K's tuning split holds out the last 300 rows", TuningSplit),
            Runner.TestCase("Alpaca with and without input", Alpaca),
            Runner.TestCase("UltraFeedback: the completion that is rated best", UltraFeedback),
            Runner.TestCase("AlpacaEval's format is written as it is read", WritesAlpacaEval),
            Runner.TestCase("files are found where projects and pyreft's script put them", FindsFiles),
            .. Refused.Select(c => Runner.TestCase($"refused in {c.Task}: {c.Text}", () => Refuses(c.Task, c.Training, c.Text, c.Parts))),
        ]);

    private static IEnumerable<(string Task, bool Training, string Text, string[] Parts)> Refused =>
    [
        ("commonsense", true, """[{"input": "", "answer": "true"}]""", ["row 1", "'instruction'", "expected a text"]),
        ("commonsense", false, """[{"instruction": "a", "answer": "true"}, {"instruction": "b"}]""", ["row 2", "'answer'", "found none"]),
        ("commonsense", false, """[{"instruction": "a", "answer": {"x": 1}}]""", ["'answer'", "an object"]),
        ("commonsense", false, "[]", ["expected rows of the task, found none"]),
        ("arithmetic", false, """[{"instruction": "a", "answer": "many"}]""", ["'answer'", "a number or one of the letters A to E", "'many'"]),
        ("arithmetic", false, """[{"instruction": "a", "answer": ["A", "B"]}]""", ["'answer'", "an array"]),
        ("arithmetic", true, """[{"instruction": "a", "answer": "3"}]""", ["'output'"]),
        ("gsm8k", false, """{"question": "a", "answer": "#### none"}""", ["'answer'", "a number after '####'", "none"]),
        ("gsm8k", true, """{"answer": "#### 3"}""", ["'question'"]),
        ("gsm8k-tuning", true, """{"question": "a", "answer": "#### 3"}""", ["more than 300 rows", "found 1"]),
        ("alpaca", true, """[{"instruction": "a", "input": 3, "output": "b"}]""", ["'input'", "expected a string"]),
        ("ultrafeedback", true, """[{"instruction": "a", "completions": "b"}]""", ["'completions'", "expected an array"]),
        ("ultrafeedback", true, """[{"instruction": "a", "completions": [{"overall_score": 3}]}]""", ["'completions[0]'", "'response'"]),
    ];

    private static string File(TemporaryFolder folder, string text, string name = "rows.json")
    {
        System.IO.File.WriteAllText(folder.File(name), text);
        return folder.File(name);
    }

    private static void Refuses(string name, bool training, string text, string[] parts)
    {
        using var folder = TinyLlama.NewFolder();
        var path = File(folder, text);
        var task = EvaluationTask.Named(name);
        Check.Throws<InvalidDataException>(() => _ = training ? task.ReadTraining(path) : task.ReadTest(path), ["rows.json", .. parts]);
    }

    private static void Prompts()
    {
        Check.Equal("Is it so?\n", EvaluationTask.Named("commonsense").Prompt("Is it so?"), "commonsense");
        Check.Equal(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nHow many?\n\n### Response:\n",
            EvaluationTask.Named("arithmetic").Prompt("How many?"),
            "arithmetic");
        Check.Equal(
            "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nShorten.\n\n### Input:\nA long text\n\n### Response:\n",
            EvaluationTask.Named("alpaca").Prompt("Shorten.", "A long text"),
            "Alpaca");
        Check.Equal(
            "How many?\nAnswer the above question. First think step by step and then answer the final number.\n",
            EvaluationTask.Named("gsm8k").Prompt("How many?"),
            "GSM8K");
        Check.Equal(EvaluationTask.Named("alpaca").Prompt("a"), EvaluationTask.Named("ultrafeedback").Prompt("a", ""), "an empty input");
        Check.Throws<ArgumentException>(() => EvaluationTask.Named("mmlu"), "'mmlu'", "commonsense");
    }

    private static void Commonsense()
    {
        using var folder = TinyLlama.NewFolder();
        var path = File(folder, """
            [
                {
                    "instruction": "Please answer the following question with true or false, question: is ice cold?\n\nAnswer format: true/false",
                    "input": "",
                    "output": "the correct answer is true",
                    "answer": "true"
                }
            ]
            """);
        var task = EvaluationTask.Named("commonsense");
        var row = task.ReadTraining(path).Single();
        Check.Equal("Please answer the following question with true or false, question: is ice cold?\n\nAnswer format: true/false\n", row.Prompt, "prompt");
        Check.Equal("the correct answer is true", row.Completion, "completion");
        Check.Equal(row.Completion, row.ToDataRow().Completion, "what is trained");
        Check.Equal("true", task.ReadTest(path).Single().Answer, "answer");
        Check.Same(
            ["boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc-e", "arc-c", "obqa"],
            task.Tests.Select(file => file.Dataset),
            "data sets in the order of Table 1");
    }

    private static void Arithmetic()
    {
        using var folder = TinyLlama.NewFolder();
        var task = EvaluationTask.Named("arithmetic");
        var rows = task.ReadTest(File(folder, """
            [
              {"instruction": "a", "input": "", "output": "so 3", "answer": "3.0"},
              {"instruction": "b", "answer": 4},
              {"instruction": "c Answer Choices: (A) 1 (B) 2", "answer": ["B"]},
              {"instruction": "d", "answer": " A "},
              {"instruction": "e", "answer": "1,200"},
              {"question": "f", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}
            ]
            """));
        Check.Same(["3.0", "4", "B", "A", "1,200", "5"], rows.Select(row => row.Answer), "answers");
        Check.That(task.Score(rows[4], "1200").IsCorrect == true, "a number with commas");
        Check.That(task.Score(rows[0], "It is 3").IsCorrect == true, "a number with a point");
        Check.Equal(" so 3 ", task.ReadTraining(File(folder, """[{"instruction": "a", "output": " so 3 "}]""")).Single().Completion, "as it is");
    }

    private static void Gsm8K()
    {
        using var folder = TinyLlama.NewFolder();
        var path = File(
            folder,
            """{"question": "Ann has 2 pens and buys 1,000. How many?", "answer": "2 + 1000 = <<2+1000=1002>>1002\n#### 1,002"}""" + "\n",
            "test.jsonl");
        var row = EvaluationTask.Named("gsm8k").ReadTraining(path).Single();
        Check.Equal("2 + 1000 = <<2+1000=1002>>1002\nThe final answer is:  1,002", row.Completion, "what is learnt");
        Check.Equal("1002", row.Answer, "what is right");
        Check.Equal(
            "Ann has 2 pens and buys 1,000. How many?\nAnswer the above question. First think step by step and then answer the final number.\n",
            row.Prompt,
            "prompt");
    }

    private static void TuningSplit()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("train.jsonl");
        System.IO.File.WriteAllLines(path, Enumerable.Range(0, 305).Select(i => $$"""{"question": "q{{i}}", "answer": "#### {{i}}"}"""));
        var task = EvaluationTask.Named("gsm8k-tuning");
        Check.Same(["q0", "q1", "q2", "q3", "q4"], task.ReadTraining(path).Select(row => row.Instruction), "trained on");
        var held = task.ReadTest(path);
        Check.Equal(300, held.Count, "held out");
        Check.Equal("q5", held[0].Instruction, "the first held out");
        Check.Equal(305, EvaluationTask.Named("gsm8k").ReadTraining(path).Count, "the other task has them all");
    }

    private static void Alpaca()
    {
        using var folder = TinyLlama.NewFolder();
        var task = EvaluationTask.Named("alpaca");
        var rows = task.ReadTraining(File(folder, """
            [
              {"instruction": "Name a colour.", "input": "", "output": "Red."},
              {"instruction": "Shorten.", "input": "A long text", "output": "Text"}
            ]
            """));
        Check.Same([task.Prompt("Name a colour."), task.Prompt("Shorten.", "A long text")], rows.Select(row => row.Prompt), "prompts");
        Check.Same(["Red.", "Text"], rows.Select(row => row.Completion), "completions");
        var asked = task.ReadTest(File(folder, """
            [{"instruction": "Name a colour.", "output": "Blue.", "generator": "text_davinci_003", "dataset": "helpful_base"}]
            """)).Single();
        Check.Equal(rows[0].Prompt, asked.Prompt, "the same prompt");
        Check.Equal<string?>(null, asked.Answer, "no right answer");
    }

    private static void UltraFeedback()
    {
        using var folder = TinyLlama.NewFolder();
        var task = EvaluationTask.Named("ultrafeedback");
        var rows = task.ReadTraining(File(
            folder,
            """
            {"source": "own", "instruction": "Say hi", "models": ["a", "b", "c"], "completions": [{"model": "a", "response": "Hi", "overall_score": 6.5}, {"model": "b", "response": "Hello!", "overall_score": 8}, {"model": "c", "response": "Hey", "overall_score": 8.0}]}
            {"instruction": "Nothing was said", "completions": []}
            {"instruction": "Texts", "completions": [{"response": "low", "overall_score": "1"}, {"response": "high", "overall_score": "9.5"}, {"response": "none", "overall_score": null}]}
            {"instruction": "As pyreft has it", "input": "x", "output": "y"}
            """,
            "train.jsonl"));
        Check.Same(["Hello!", "high", "y"], rows.Select(row => row.Completion), "the best, the first of several; rows without any are left out");
        Check.Equal(task.Prompt("As pyreft has it", "x"), rows[2].Prompt, "with its input");
    }

    private static void WritesAlpacaEval()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("outputs.json");
        AlpacaEvalFile.Write(path, [new("Say \"hi\"", "Hi ☀", "reft", "own"), new("b", "", "reft", "own")]);
        using var json = System.Text.Json.JsonDocument.Parse(System.IO.File.ReadAllText(path));
        var first = json.RootElement[0];
        Check.Same(["instruction", "output", "generator", "dataset"], first.EnumerateObject().Select(p => p.Name), "fields");
        Check.Equal("Hi ☀", first.GetProperty("output").GetString(), "output");
        Check.Same(["Say \"hi\"", "b"], EvaluationTask.Named("alpaca").ReadTest(path).Select(row => row.Instruction), "read again");
    }

    private static void FindsFiles()
    {
        using var folder = TinyLlama.NewFolder();
        var task = EvaluationTask.Named("commonsense");
        Check.Equal<string?>(null, task.Training.Find(folder.Path), "nothing there");
        System.IO.Directory.CreateDirectory(folder.File("ft-training_set"));
        var adapters = File(folder, "[]", Path.Combine("ft-training_set", "commonsense_170k.json"));
        Check.Equal(adapters, task.Training.Find(folder.Path), "as LLM-Adapters has it");
        System.IO.Directory.CreateDirectory(folder.File("commonsense_170k"));
        var pyreft = File(folder, "[]", Path.Combine("commonsense_170k", "train.json"));
        Check.Equal(pyreft, task.Training.Find(folder.Path), "as pyreft's script lays it out");
    }
}
