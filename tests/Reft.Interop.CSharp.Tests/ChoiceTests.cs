using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Multiple choice by likelihood and by generation.</summary>
public static class ChoiceTests
{
    private static readonly ChoiceRow[] Rows =
    [
        new() { Prompt = "The sky is", Choices = [" blue", " green as grass", "!"], Answer = 0 },
        new() { Prompt = "ab", Choices = ["c", "d"], Answer = 1 },
        new() { Prompt = "2 + 2 =", Choices = [" 4", " 22", " four", " five"], Answer = 2 },
    ];

    /// <summary>What a program sees.</summary>
    [Tests]
    public static readonly Test Choices = Runner.TestList(
        "Choices",
        [
            Runner.TestCase("the sums are Score's, whatever the batches, with an adapter and without", SumsAreScores),
            Runner.TestCase("measures", Measures),
            Runner.TestCase("by what the model says", BySaying),
            Runner.TestCase("rows of files", RowsOfFiles),
            Runner.TestCase("an evaluation", Evaluates),
            .. Refused.Select(refused => Runner.TestCase($"refused: {refused.Line}", () => Refuses(refused.Line, refused.Parts))),
            Runner.TestCase("rows that do not fit are refused", TooLong),
        ]);

    private static IEnumerable<(string Line, string[] Parts)> Refused =>
    [
        ("""{"choices": ["a", "b"]}""", ["rows.jsonl:1", "'prompt'"]),
        ("""{"prompt": "a"}""", ["'choices'", "array of texts"]),
        ("""{"prompt": "a", "choices": ["b"]}""", ["'choices'", "found 1"]),
        ("""{"prompt": "a", "choices": "b, c"}""", ["'choices'"]),
        ("""{"prompt": "a", "choices": ["b", 3]}""", ["'choices[1]'", "the number 3"]),
        ("""{"prompt": "a", "choices": ["b", ""]}""", ["'choices[1]'", "empty"]),
        ("""{"prompt": "a", "choices": ["b", "c"], "answer": 2}""", ["'answer'", "0 … 1", "found 2"]),
        ("""{"prompt": "a", "choices": ["b", "c"], "answer": -1}""", ["'answer'", "-1"]),
        ("""{"prompt": "a", "choices": ["b", "c"], "answer": "d"}""", ["'answer'", "'d'"]),
        ("""{"prompt": "a", "choices": ["b", "c"], "answer": [1]}""", ["'answer'", "an array"]),
    ];

    private static void SumsAreScores()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        Agrees();
        var before = model.Choose(Rows).ToArray();
        model.Attach(TinyLlama.Spec);
        Agrees();
        Check.That(
            before.Zip(model.Choose(Rows)).Any(pair => Math.Abs(pair.First.Scores[0].LogProb - pair.Second.Scores[0].LogProb) > 1e-4),
            "expected what is attached to act");

        void Agrees()
        {
            foreach (var batchSize in new[] { 1, 2, 3, 16 })
            {
                var found = model.Choose(Rows, new ChoiceOptions { BatchSize = batchSize }).ToArray();
                Check.Equal(Rows.Length, found.Length, "rows");
                foreach (var (row, result) in Rows.Zip(found))
                {
                    double[] expected =
                    [
                        .. model.Score(row.Choices.Select(choice => new DataRow { Prompt = row.Prompt, Completion = choice }), 1)
                            .Zip(result.Scores, (score, choice) => -score.Loss!.Value * choice.Tokens),
                    ];
                    Check.That(
                        expected.Zip(result.Scores).All(pair => Math.Abs(pair.First - pair.Second.LogProb) < 1e-3),
                        $"expected {string.Join(", ", expected)}, found {string.Join(", ", result.Scores)}");
                    Check.Equal(result.Scores.Select((score, i) => (score.Score, -i)).Max().Item2, -result.Choice!.Value, "the greatest");
                    Check.That(Math.Abs(result.Scores.Sum(score => score.Probability) - 1) < 1e-9, "a softmax");
                }
            }
        }
    }

    private static void Measures()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        var plain = model.Choose(Rows).ToArray();
        Compare(ChoiceScoring.PerToken, (row, i) => plain[row].Scores[i].LogProb / plain[row].Scores[i].Tokens);
        Compare(ChoiceScoring.PerByte, (row, i) => plain[row].Scores[i].LogProb / System.Text.Encoding.UTF8.GetByteCount(Rows[row].Choices[i]));
        Compare(ChoiceScoring.PointwiseInformation, (row, i) =>
            plain[row].Scores[i].LogProb - model.Choose("Answer:", [Rows[row].Choices[i], "z"]).Scores[0].LogProb);

        void Compare(ChoiceScoring by, Func<int, int, double> expected)
        {
            var found = model.Choose(Rows, new ChoiceOptions { By = by, BatchSize = 2 }).ToArray();
            for (var row = 0; row < Rows.Length; row++)
            {
                for (var i = 0; i < Rows[row].Choices.Count; i++)
                {
                    Check.That(
                        Math.Abs(found[row].Scores[i].Score - expected(row, i)) < 1e-3,
                        $"{by}, row {row}, choice {i}: expected {expected(row, i)}, found {found[row].Scores[i].Score}");
                }
            }
        }
    }

    private static void BySaying()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        var text = model.Generate("ab", new GenerationOptions { MaxNewTokens = 5 }).Text!;
        var options = new ChoiceOptions { By = ChoiceScoring.Generation, MaxNewTokens = 5 };
        var found = model.Choose([new ChoiceRow { Prompt = "ab", Choices = ["no such text", text + " "], Answer = 1 }], options).Single();
        Check.Equal((1, true, text), (found.Choice, found.IsRight, found.Text), "what it says");
        Check.Equal((0, null), (found.Scores.Count, found.Confidence), "no probabilities");
        found = model.Choose([new ChoiceRow { Prompt = "ab", Choices = ["no such text", "nor this"], Answer = 1 }], options).Single();
        Check.Equal((null, false), (found.Choice, found.IsRight), "a text that is no choice is wrong");
        Check.Throws<ArgumentException>(() => _ = model.Choose(Rows, options with { MaxNewTokens = 0 }).ToArray(), "MaxNewTokens");
    }

    private static void RowsOfFiles()
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllLines(folder.File("rows.jsonl"),
        [
            """{"prompt": "a", "choices": ["x", "y"], "answer": 1, "id": 7}""",
            """{"prompt": "b", "choices": ["3", "1"], "answer": "1"}""",
            """{"prompt": "c", "choices": [" x", " y"], "answer": "y"}""",
            """{"prompt": "d", "choices": ["x", "y"]}""",
        ]);
        var rows = ChoiceRow.FromFile(folder.File("rows.jsonl"));
        Check.Same([1, 1, 1, null], rows.Select(row => row.Answer), "answers by number and by text");
        Check.Equal("y", rows[0].Choices[1], "choices");
        File.WriteAllLines(folder.File("rows.csv"), ["question,options,answer", "a,\"[\"\"x\"\", \"\"y\"\"]\",0"]);
        var csv = ChoiceRow.FromFile(folder.File("rows.csv"), new DataOptions { Fields = DataFields.Parse("prompt=question,choices=options") }).Single();
        Check.Equal(("a", 2, 0), (csv.Prompt, csv.Choices.Count, csv.Answer), "a row of CSV");
    }

    private static void Evaluates()
    {
        ChoiceResult Result(int choice, int? answer, params double[] probabilities) => new()
        {
            Choice = choice,
            Answer = answer,
            Scores = [.. probabilities.Select(p => new ScoredChoice(Math.Log(p), 1, Math.Log(p), p))],
        };
        ChoiceResult[] results = [Result(0, 0, 0.7, 0.2, 0.1), Result(1, 2, 0.1, 0.8, 0.1), Result(2, 2, 0.3, 0.3, 0.4)];
        var found = ChoiceEvaluation.Of(results, new BootstrapOptions { Resamples = 200 });
        Near(2.0 / 3, found.Accuracy.Estimate, "accuracy");
        Check.That(found.Accuracy.Low < 0.66 && found.Accuracy.High > 0.67, $"{found.Accuracy}");
        Near(0.7133333333333335, found.Brier!.Value, "Brier");
        Near(1.1918502562689777, found.NegativeLogLikelihood!.Value, "−log p");
        Near((0.3 + 0.8 + 0.6) / 3, found.CalibrationError!.Value, "calibration");
        var said = ChoiceEvaluation.Of([new ChoiceResult { Answer = 0 }, new ChoiceResult { Choice = 0, Answer = 0 }]);
        Check.Equal((0.5, null), (said.Accuracy.Estimate, said.Brier), "by generation there are no probabilities");
        Check.Throws<ArgumentException>(() => ChoiceEvaluation.Of([Result(0, null, 0.5, 0.5)]), "which choice is right");

        static void Near(double expected, double found, string what) =>
            Check.That(Math.Abs(expected - found) < 1e-9, $"{what}: expected {expected}, found {found}");
    }

    private static void Refuses(string line, string[] parts)
    {
        using var folder = TinyLlama.NewFolder();
        File.WriteAllText(folder.File("rows.jsonl"), line);
        Check.Throws<InvalidDataException>(() => ChoiceRow.FromFile(folder.File("rows.jsonl")), parts);
    }

    private static void TooLong()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        Check.Throws<ArgumentException>(() => model.Choose(new string('a', 126), ["b", "cd"]), "row 0", "129 tokens", "choices[1]", "128");
        Check.Throws<InvalidDataException>(() => model.Choose("a", ["b"]), "row 0", "'choices'");
        using var bare = ReftModel.Load(TinyLlama.Folder);
        Check.Throws<InvalidDataException>(() => bare.Choose("a", ["b", "c"]), "tokenizer");
        Check.Throws<ArgumentException>(() => _ = model.Choose(Rows, new ChoiceOptions { BatchSize = 0 }).ToArray(), "BatchSize");
    }
}
