using System.Text.Json.Nodes;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Generating, streaming and scoring from C#.</summary>
public static class GenerationTests
{
    private static readonly GenerationOptions Twelve = new() { MaxNewTokens = 12, IgnoreEos = true };

    /// <summary>Generating.</summary>
    [Tests]
    public static readonly Test Generation = Runner.TestList(
        "Generating and scoring",
        [
            Runner.TestCase("batches, single prompts and streams give the same tokens", StreamEqualsBatch),
            Runner.TestCase("a stream that is left early frees the model; a cancelled one throws", LeavingStreams),
            Runner.TestCase("a disposed model stops its streams", DisposedWhileStreaming),
            Runner.TestCase("the texts of a stream add up to the text", StreamedText),
            Runner.TestCase("a generation begins after the prompt of its row", PromptOfRow),
            Runner.TestCase("without a limit it stops where the context ends", ContextEnds),
            Runner.TestCase("bad prompts are refused", Refusals),
            Runner.TestCase("scores: lengths, the mean over scored tokens, one token", Scores),
            Runner.TestCase("a row that training cuts is cut alike in a score; a bare one is refused", LongScores),
            Runner.TestCase("ids of text that the model has not are refused", ForeignIds),
            Runner.TestCase("the limit of a row does not depend on its batch", LimitPerRow),
            Runner.TestCase("own stop ids end a row, also where EOS is ignored", StopIds),
            Runner.TestCase("without an EOS of its own, a model ends at the tokenizer's", TokenizerEos),
            Runner.TestCase("prompts get the prefix, completions nothing, and training alone an EOS", TextRows),
            Runner.TestCase("a tokenizer of another kind is refused only where text is needed", OtherTokenizer),
        ]);

    private static List<GeneratedPiece> Collect(IAsyncEnumerable<GeneratedPiece> pieces, int most = int.MaxValue)
    {
        return Run().GetAwaiter().GetResult();

        async Task<List<GeneratedPiece>> Run()
        {
            var collected = new List<GeneratedPiece>();
            await foreach (var piece in pieces)
            {
                collected.Add(piece);
                if (collected.Count == most)
                {
                    break;
                }
            }

            return collected;
        }
    }

    private static void StreamEqualsBatch()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        int[][] prompts = [[1, 5, 9], [1, 40, 41, 42, 43, 44, 45], [1], [1, 99, 98, 3]];
        var batch = model.GenerateBatch(prompts, Twelve);
        var small = model.GenerateBatch(prompts, Twelve with { BatchSize = 3 });
        for (var i = 0; i < prompts.Length; i++)
        {
            Check.Equal(12, batch[i].TokenIds.Count, "new tokens");
            Check.Equal(null, batch[i].Text, "text without a tokenizer");
            Check.Same(batch[i].TokenIds, small[i].TokenIds, "tokens of smaller batches");
            Check.Same(batch[i].TokenIds, model.Generate(prompts[i], Twelve).TokenIds, "tokens of a single prompt");
            Check.Same(batch[i].TokenIds, Collect(model.GenerateStreamAsync(prompts[i], Twelve)).Select(p => p.TokenId), "streamed tokens");
        }
    }

    private static void LeavingStreams()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Check.Equal(2, Collect(model.GenerateStreamAsync([1, 5], Twelve), most: 2).Count, "pieces before leaving");
        model.Attach(TinyLlama.Spec); // Refused while anything runs.
        using var cancel = new CancellationTokenSource();
        cancel.Cancel();
        Check.Throws<OperationCanceledException>(() => Collect(model.GenerateStreamAsync([1, 5], Twelve, cancel.Token)));
        model.Attach(TinyLlama.Spec);
    }

    private static void DisposedWhileStreaming()
    {
        var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var pieces = model.GenerateStreamAsync([1, 5], new GenerationOptions { MaxNewTokens = 120, IgnoreEos = true }).GetAsyncEnumerator();
        Check.That(pieces.MoveNextAsync().AsTask().GetAwaiter().GetResult(), "a first piece");
        model.Dispose();
        model.Dispose();
        pieces.DisposeAsync().AsTask().GetAwaiter().GetResult();
        Check.Throws<ObjectDisposedException>(() => model.Generate([1, 5]));
    }

    private static void StreamedText()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        var whole = model.Generate("ab c", Twelve);
        var pieces = Collect(model.GenerateStreamAsync("ab c", Twelve));
        Check.Same(whole.TokenIds, pieces.Select(piece => piece.TokenId), "tokens");
        Check.Equal(whole.Text, string.Concat(pieces.Select(piece => piece.Text)), "text");
        Check.Same([1, .. "abc".Select(TinyLlama.IdOf)], model.Tokenizer!.Encode("abc"), "ids of a text");
    }

    private static void PromptOfRow()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        DataRow[] rows =
        [
            new() { InputIds = [1, 5, 9] },
            new() { InputIds = [1, 5, 9, 10, 11], Labels = [-100, -100, -100, 10, 11] },
            new() { InputIds = [1, 5, 9, 10, 11], PromptLength = 3 },
        ];
        var results = model.GenerateRows(rows, Twelve).ToArray();
        Check.Same(results[0].TokenIds, results[1].TokenIds, "after labels");
        Check.Same(results[0].TokenIds, results[2].TokenIds, "after prompt_length");
    }

    private static void ContextEnds()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        Check.Equal(8, model.Generate([1, .. Enumerable.Range(3, 119)], new GenerationOptions { IgnoreEos = true }).TokenIds.Count, "tokens");
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        Check.Throws<InvalidDataException>(() => model.Generate([]), "input_ids", "at least one token");
        Check.Throws<InvalidDataException>(() => model.Generate([1, -1]), "input_ids[1]", "-1");
        Check.Throws<InvalidDataException>(() => model.Generate("abc"), "tokenizer.json");
        Check.Throws<ArgumentException>(() => model.Generate([.. Enumerable.Repeat(3, 129)]), "row 0", "128");
        DataRow[] empty = [new() { InputIds = [1] }, new() { InputIds = [1, 5], PromptLength = 0, Source = "rows:7" }];
        Check.Throws<InvalidDataException>(() => _ = model.GenerateRows(empty).ToArray(), "rows:7", "prompt_length");
        Check.Throws<ArgumentException>(
            () => _ = model.GenerateRows([new DataRow { InputIds = [1, 5], Source = "rows:8" }], Twelve with { MaxNewTokens = int.MaxValue }).ToArray(),
            "rows:8", "126");
        Check.Throws<ArgumentException>(() => model.Score([.. Enumerable.Repeat(3, 129)]), "128");
        Check.Throws<ArgumentException>(() => model.GenerateBatch([[1]], Twelve with { BatchSize = 0 }), "BatchSize");
    }

    private static void Scores()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        DataRow[] rows =
        [
            new() { InputIds = [1, 5, 9, 10, 11], Labels = [-100, -100, -100, 10, 11] },
            new() { InputIds = [1] },
            new() { InputIds = [1, 5, 9], Labels = [-100, -100, 33] },
        ];
        var scores = model.Score(rows, 2).ToArray();
        Check.Equal(4, scores[0].LogProbs.Count, "n − 1 values");
        Check.Equal(-(scores[0].LogProbs[2] + (double)scores[0].LogProbs[3]) / 2, scores[0].Loss, "the mean over scored tokens");
        Check.Equal((0, null), (scores[1].LogProbs.Count, scores[1].Loss), "a row of one token");

        // A label that is not the row's own token: −log p of the label.
        var asked = model.Score([new DataRow { InputIds = [1, 5, 33], Labels = [-100, -100, 33] }]).Single();
        Check.That(Math.Abs(asked.Loss!.Value - scores[2].Loss!.Value) < 1e-4, $"expected {asked.Loss}, found {scores[2].Loss}");
        Check.That(
            Math.Abs(model.Evaluate(TrainingData.FromRows([rows[0]])) - scores[0].Loss!.Value) < 1e-4,
            "training's loss and the score's should agree");
    }

    private static void LongScores()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        int[] ids = [1, .. Enumerable.Range(3, 139)];
        var row = new DataRow { InputIds = ids, PromptLength = 100 };
        var score = model.Score([row]).Single();
        Check.Same(ids[..128], score.TokenIds, "ids within the context");
        Check.That(
            Math.Abs(model.Evaluate(TrainingData.FromRows([row])) - score.Loss!.Value) < 1e-4, "training's loss and the score's should agree");
        Check.Equal(null, model.Score([row with { PromptLength = 130 }]).Single().Loss, "a prompt that fills the context");
        Check.Throws<ArgumentException>(() => _ = model.Score([row with { PromptLength = null, Source = "rows:7" }]).Single(), "rows:7", "140");
    }

    private static void ForeignIds()
    {
        using var folder = TinyLlama.WithTokenizer();
        var file = folder.File("tokenizer.json");
        File.WriteAllText(file, File.ReadAllText(file).Replace($"\"z\":{TinyLlama.IdOf('z')}", "\"z\":999", StringComparison.Ordinal));
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        Check.Throws<InvalidDataException>(() => model.Generate("az"), "row 0", "'prompt'", "999");
        Check.Throws<InvalidDataException>(() => model.Score("az"), "'text'", "999");
        Check.Throws<InvalidDataException>(
            () => model.Evaluate(TrainingData.FromRows([new DataRow { Prompt = "a", Completion = "z", Source = "rows:7" }])), "rows:7", "'completion'", "999");
    }

    private static void LimitPerRow()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        int[][] prompts = [[1, 5], [1, .. Enumerable.Range(3, 119)], [1, 9]];
        var endless = new GenerationOptions { IgnoreEos = true };
        var batch = model.GenerateBatch(prompts, endless);
        Check.Same([126, 8, 126], batch.Select(result => result.TokenIds.Count), "new tokens");
        Check.Same(model.Generate(prompts[2], endless).TokenIds, batch[2].TokenIds, "tokens of the last row");
    }

    private static void StopIds()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var free = model.Generate([1, 5], Twelve).TokenIds;
        var stop = free[3];
        var until = free.TakeWhile(id => id != stop).Append(stop);
        var options = Twelve with { StopIds = [stop] };
        Check.Same(until, model.Generate([1, 5], options).TokenIds, "tokens until the stop");
        Check.Same(until, Collect(model.GenerateStreamAsync([1, 5], options)).Select(piece => piece.TokenId), "streamed tokens");
        Check.Throws<ArgumentException>(() => model.Generate([1], Twelve with { StopIds = [256] }), "StopIds", "256");
    }

    private static void TokenizerEos()
    {
        using var folder = TinyLlama.WithTokenizer();
        foreach (var file in new[] { "config.json", "generation_config.json" }.Select(folder.File))
        {
            var json = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
            json["eos_token_id"] = null; // Where it is absent, the family has a default.
            File.WriteAllText(file, json.ToJsonString());
        }

        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        Check.Equal(0, model.Config.EosIds.Count, "EOS ids of the configuration");
        var data = TrainingData.FromPairs(Enumerable.Repeat(("ab", "c"), 8));
        model.FitAsync(data, new TrainingOptions { LearningRate = 2e-2, Epochs = 40 }).GetAwaiter().GetResult();
        Check.Same([TinyLlama.IdOf('c'), 2], model.Generate("ab").TokenIds, "the learnt completion and its end");
    }

    private static void OtherTokenizer()
    {
        using var folder = TinyLlama.WithTokenizer();
        var file = folder.File("tokenizer.json");
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"BPE\"", "\"Bayes\"", StringComparison.Ordinal));
        using var model = ReftModel.Load(folder.Path);
        Check.That(model.Tokenizer is null && model.TokenizerProblem!.Contains("Bayes", StringComparison.Ordinal), "the problem");
        Check.Equal(null, model.Generate([1, 5], Twelve).Text, "text after ids");
        Check.Throws<InvalidDataException>(() => model.Generate("ab"), "row 0", "prompt", "Bayes");
    }

    private static void TextRows()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path, TinyLlama.Spec);
        int[] ids = [1, TinyLlama.IdOf('a'), TinyLlama.IdOf('b'), TinyLlama.IdOf('c')];
        var score = model.Score([new DataRow { Prompt = "ab", Completion = "c" }]).Single();
        Check.Same(ids, score.TokenIds, "ids of a score");
        Check.Equal(-(double)score.LogProbs[2], score.Loss, "the completion alone is scored");
        var withEos = TrainingData.FromExamples([TrainingExample.FromCompletion(ids[..3], [ids[3], 2])]);
        Check.Equal(model.Evaluate(withEos), model.Evaluate(TrainingData.FromPairs([("ab", "c")])), "the loss with an EOS");
        Check.Same(ids, model.Score("abc").TokenIds, "ids of a text");
        var cut = model.Evaluate(TrainingData.FromPairs([("ab", "cdef")]), maxLength: 4);
        var whole = model.Evaluate(TrainingData.FromExamples([TrainingExample.FromCompletion(ids[..3], [ids[3]])]));
        Check.Equal(whole, cut, "truncation cuts the completion");
    }
}
