using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Tasks;

/// <summary>How answers are read from what a model wrote, by written cases.</summary>
public static class ExtractionTests
{
    private static readonly (string Text, double? Number)[] Numbers =
    [
        ("The answer is 42.", 42),
        ("He pays 1,234.50 dollars", 1234.5),
        ("no number here", null),
        ("", null),
        ("3 apples and 5 pears", 5),
        ("-7", -7),
        ("from 5-3", -3),
        ("2 + 2 = 4", 4),
        ("x=1/2", 2),
        (".5", 5),
        ("0.333", 0.333),
        ("10.", 10),
        ("1.2.3", 3),
        ("$18", 18),
        ("12%", 12),
        ("twelve (12)", 12),
        ("1e5", 5),
        ("−4", 4), // The minus sign of typography is no hyphen.
        ("1,000,000", 1000000),
        ("two\nlines 8\n9\n", 9),
    ];

    private static readonly (string Text, char? Letter)[] Letters =
    [
        ("The answer is (B).", 'B'),
        ("the answer is c", null),
        ("Answer: D", 'A'),
        ("  E", 'E'),
        ("", null),
        ("F G H", null),
        ("(D) or (A)", 'D'),
        ("option\nC", 'C'),
        ("Because the answer is (A)", 'B'),
        ("12", null),
    ];

    private static readonly (string Text, string Trigger, string Found)[] Triggers =
    [
        ("Q\nthe correct answer is true", "the correct answer is ", "true"),
        ("the correct answer is  \n true ", "the correct answer is ", "true "),
        ("The correct answer is true", "the correct answer is ", ""),
        ("the correct answer is", "the correct answer is ", ""),
        ("### Response:\n5\n### Response:\n6", "### Response:", "5\n### Response:\n6"),
        ("", "### Response:", ""),
        ("a b", "b", ""),
    ];

    private static readonly (string Task, string Answer, string Generated, bool IsCorrect)[] Scores =
    [
        ("commonsense", "true", "the correct answer is true", true),
        ("commonsense", "true", "the correct answer is True", false),
        ("commonsense", "true", "the correct answer is true.", false),
        ("commonsense", "true", " the correct answer is  true \n", true),
        ("commonsense", "true", "true", false),
        ("commonsense", "solution1", "the correct answer is solution2", false),
        ("commonsense", "answer4", "the correct answer is answer4", true),
        ("commonsense", "answer1", "the correct answer is answer1 the correct answer is answer1", false),
        ("commonsense", "ending3", "the correct answer is ending3", true),
        ("commonsense", "option2", "so the correct answer is option2", true),
        ("commonsense", "option2", "", false),
        ("arithmetic", "18", "She has 3 + 15 = 18 left.", true),
        ("arithmetic", "18", "18 or 19", false),
        ("arithmetic", "18", "18.0005", true),
        ("arithmetic", "18", "18.002", false),
        ("arithmetic", "18", "nothing", false),
        ("arithmetic", "1200", "It is 1,200.", true),
        ("arithmetic", "-3", "-3", true),
        ("arithmetic", "0.25", "The share is 0.25", true),
        ("arithmetic", "B", "The answer is (B).", true),
        ("arithmetic", "B", "Answer: B", false), // The first capital A to E is that of 'Answer'.
        ("arithmetic", "C", "it is c", false),
        ("arithmetic", "5", "### Response: 4 then 5", true),
        ("gsm8k", "8", "7 + 1 = 8 The final answer is: 8", true),
        ("gsm8k", "8", "The final answer is: 9", false),
        ("gsm8k", "8", "", false),
    ];

    /// <summary>Extraction and scores.</summary>
    [Tests]
    public static readonly Test Extraction = Runner.TestList(
        "Answer extraction",
        [
            .. Numbers.Select(c => Runner.TestCase($"the last number of '{c.Text}'", () => Check.Equal(
                c.Number, AnswerExtraction.LastNumber(c.Text), "number"))),
            .. Letters.Select(c => Runner.TestCase($"the first letter of '{c.Text}'", () => Check.Equal(
                c.Letter, AnswerExtraction.FirstLetter(c.Text), "letter"))),
            .. Triggers.Select((c, i) => Runner.TestCase($"after a trigger, {i}", () => Check.Equal(
                c.Found, AnswerExtraction.After(c.Text, c.Trigger), "text"))),
            Runner.TestCase("after the hashes of GSM8K", () =>
            {
                Check.Equal("18", AnswerExtraction.AfterHashes("9 + 9 = <<9+9=18>>18\n#### 18"), "answer");
                Check.Equal("1,800", AnswerExtraction.AfterHashes("#### 1\n#### 1,800 "), "the last");
                Check.Equal("5", AnswerExtraction.AfterHashes(" 5"), "without hashes");
            }),
            .. Scores.Select((c, i) => Runner.TestCase($"score {i}: {c.Task}, {c.Answer}", () => Scored(c))),
            Runner.TestCase("instructions have no score of their own", () =>
            {
                var task = EvaluationTask.Named("ultrafeedback");
                var found = task.Score(new TaskRow { Instruction = "Say hi", Prompt = task.Prompt("Say hi") }, "  Hi!\n");
                Check.Equal(new TaskAnswer("Hi!\n", "Hi!\n", null), found, "answer");
                Check.That(!task.IsScored, "a judge decides");
            }),
            Runner.TestCase("a hundred thousand digits are one number, at once", () => Check.Equal(
                double.PositiveInfinity, AnswerExtraction.LastNumber(new string('9', 100_000)), "number")),
        ]);

    private static void Scored((string Task, string Answer, string Generated, bool IsCorrect) written)
    {
        var task = EvaluationTask.Named(written.Task);
        var row = new TaskRow { Instruction = "Q", Prompt = task.Prompt("Q"), Answer = written.Answer };
        Check.Equal<bool?>(written.IsCorrect, task.Score(row, written.Generated).IsCorrect, written.Generated);
    }
}
