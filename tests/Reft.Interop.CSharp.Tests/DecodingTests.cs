using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Sampling, beam search, stop strings and buckets from C#.</summary>
public static class DecodingTests
{
    private static readonly GenerationOptions Twelve = new() { MaxNewTokens = 12, IgnoreEos = true };

    // Every new token is a character of the tests' tokenizer, which has a text for few of the model's ids.
    private static readonly GenerationOptions Characters =
        Twelve with { BannedTokens = [.. new[] { 0, 1, 2 }.Concat(Enumerable.Range(TinyLlama.IdOf('~') + 1, 255 - TinyLlama.IdOf('~'))).Select(id => (int[])[id])] };

    private static readonly GenerationOptions Drawn =
        Twelve with { Sampling = new SamplingOptions { Temperature = 0.9, TopK = 60, TopP = 0.95, MinP = 0.001, Seed = 7 } };

    private static readonly GenerationOptions Searched =
        Twelve with { Beams = new BeamOptions { Count = 3, ReturnedSequences = 3, LengthPenalty = 0.5, EarlyStopping = EarlyStopping.Never } };

    /// <summary>Ways of decoding.</summary>
    [Tests]
    public static readonly Test Decoding = Runner.TestList(
        "Decoding from C#",
        [
            Runner.TestCase("greedy, drawn and searched texts do not depend on batches or buckets", Batches),
            Runner.TestCase("drawn beams do not depend on batches or buckets", DrawnBeams),
            Runner.TestCase("rows are read ahead by a window and computed batch by batch", Windows),
            Runner.TestCase("a beam search gives its texts best first", BeamResults),
            Runner.TestCase("a result says why it ended", Reasons),
            Runner.TestCase("a stop string ends a text before it, in a stream as in a batch", StopStrings),
            Runner.TestCase("a stream never shows a part of a stop string, and all of what is none", HeldBack),
            Runner.TestCase("a drawn stream is the drawn text", DrawnStream),
            Runner.TestCase("banned words and tokens do not come", Banned),
            Runner.TestCase("repetition, n-grams and least lengths", Penalties),
            Runner.TestCase("what means nothing is refused by name", Refusals),
        ]);

    private static int[][] Prompts { get; } =
        [.. Enumerable.Range(0, 23).Select(i => (int[])[1, .. Enumerable.Range(0, i * 7 % 19).Select(j => 3 + ((i * 31) + (j * 11)) % 250)])];

    private static List<GeneratedPiece> Collect(IAsyncEnumerable<GeneratedPiece> pieces) =>
        pieces.ToBlockingEnumerable().ToList();

    private static IEnumerable<int> Flat(GenerationResult result) =>
        result.Alternatives.Prepend(result).SelectMany(text => text.TokenIds.Append(-1));

    private static void Batches()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        foreach (var options in new[] { Twelve, Drawn, Searched })
        {
            var alone = model.GenerateBatch(Prompts, options with { BatchSize = 1 });
            foreach (var (size, window) in new[] { (4, 1), (4, 3), (5, 16), (64, 1) })
            {
                var together = model.GenerateBatch(Prompts, options with { BatchSize = size, BucketWindow = window });
                for (var row = 0; row < Prompts.Length; row++)
                {
                    Check.Same(Flat(alone[row]), Flat(together[row]), $"row {row} in batches of {size}, read {window} ahead");
                }
            }
        }
    }

    private static void DrawnBeams()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var paper = Twelve with
        {
            Sampling = new SamplingOptions { Temperature = 0.3, TopP = 0.75, TopK = 40, Seed = 3 },
            Beams = new BeamOptions { Count = 4 },
        };
        var alone = model.GenerateBatch(Prompts, paper with { BatchSize = 1 });
        var together = model.GenerateBatch(Prompts, paper with { BatchSize = 5, BucketWindow = 2 });
        var other = model.GenerateBatch(Prompts, paper with { Sampling = paper.Sampling with { Seed = 4 } });
        for (var row = 0; row < Prompts.Length; row++)
        {
            Check.Same(Flat(alone[row]), Flat(together[row]), $"row {row}");
        }

        Check.That(!alone.SelectMany(Flat).SequenceEqual(other.SelectMany(Flat)), "another seed should give other texts");
    }

    private static void Windows()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var read = 0;
        var rows = Prompts.Select(ids =>
        {
            read++;
            return new DataRow { InputIds = ids };
        });
        using var results = model.GenerateRows(rows, Twelve with { BatchSize = 2, BucketWindow = 3 }).GetEnumerator();
        Check.Equal(0, read, "rows read before one is asked for");
        for (var row = 0; row < 6; row++)
        {
            Check.That(results.MoveNext(), "a result");
            Check.Equal(6, read, "rows of the window");
        }

        Check.That(results.MoveNext(), "a result");
        Check.Equal(12, read, "rows of two windows");
    }

    private static void BeamResults()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var result = model.Generate([1, 5, 9], Searched);
        Check.Equal(2, result.Alternatives.Count, "the other texts");
        double[] scores = [result.Score!.Value, .. result.Alternatives.Select(other => other.Score!.Value)];
        Check.Same(scores.OrderDescending(), scores, "best first");
        var logProbs = model.Score([new DataRow { InputIds = [1, 5, 9, .. result.TokenIds], PromptLength = 3 }]).Single();
        var expected = logProbs.LogProbs.Skip(2).Sum(x => (double)x) / Math.Sqrt(12);
        Check.That(Math.Abs(expected - scores[0]) < 1e-4, $"score: expected {expected}, found {scores[0]}");
        Check.Equal(null, model.Generate([1, 5, 9], Twelve).Score, "score without beams");
        var one = Twelve with { Beams = new BeamOptions { Count = 1 } };
        Check.Same(model.Generate([1, 5, 9], Twelve).TokenIds, model.Generate([1, 5, 9], one).TokenIds, "one beam");
        Check.Equal(12, Collect(model.GenerateStreamAsync([1, 5, 9], one)).Count, "a stream of one beam");
    }

    private static void Reasons()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var free = model.Generate([1, 5], Twelve);
        Check.Equal(FinishReason.Length, free.FinishReason, "all tokens");
        var stopped = Twelve with { StopIds = [free.TokenIds[4]] };
        Check.Equal(FinishReason.EndToken, model.Generate([1, 5], stopped).FinishReason, "an end");
        var pieces = Collect(model.GenerateStreamAsync([1, 5], stopped));
        Check.Equal(FinishReason.EndToken, pieces[^1].FinishReason, "the last piece");
        Check.That(pieces.SkipLast(1).All(piece => piece.FinishReason is null), "the pieces before it");
        Check.Equal(FinishReason.Length, Collect(model.GenerateStreamAsync([1, 5], Twelve))[^1].FinishReason, "all tokens of a stream");
    }

    private static void StopStrings()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        foreach (var prompt in new[] { "ab c", "x", "hello" })
        {
            var free = model.Generate(prompt, Characters);
            var text = free.Text!;
            Check.Equal(12, text.Length, $"characters of '{text}'");
            var stop = text[3..5];
            var options = Characters with { StopStrings = ["§§", stop] };
            var result = model.Generate(prompt, options);
            Check.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], result.Text, "the text before it");
            Check.Equal(FinishReason.StopString, result.FinishReason, "why it ends");
            Check.Same(free.TokenIds.Take(result.TokenIds.Count), result.TokenIds, "all tokens that were generated");
            Check.That(model.Tokenizer!.Decode(result.TokenIds).EndsWith(stop, StringComparison.Ordinal), "the tokens end with it");
            var pieces = Collect(model.GenerateStreamAsync(prompt, options));
            Check.Same(result.TokenIds, pieces.Select(piece => piece.TokenId), "streamed tokens");
            Check.Equal(result.Text, string.Concat(pieces.Select(piece => piece.Text)), "streamed text");
            Check.Equal(FinishReason.StopString, pieces[^1].FinishReason, "why the stream ends");
            foreach (var found in model.Generate(prompt, options with { Beams = Searched.Beams }) is var best
                ? best.Alternatives.Prepend(best)
                : [])
            {
                Check.That(!found.Text!.Contains(stop, StringComparison.Ordinal), "no text of a beam search holds it");
            }
        }
    }

    private static void HeldBack()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        var text = model.Generate("ab c", Characters).Text!;

        // Begins as the text goes on, and never comes: held back, then shown.
        string[] never = [text[1..4] + "§", text[2..3] + "§", text[4..8] + "§", text[^2..] + "§"];
        var pieces = Collect(model.GenerateStreamAsync("ab c", Characters with { StopStrings = never }));
        Check.Equal(text, string.Concat(pieces.Select(piece => piece.Text)), "the whole text");
        for (var i = 1; i < pieces.Count; i++)
        {
            // Each token is a character. What may become a stop string is held back, and nothing else.
            var soFar = text[..i];
            var held = Enumerable.Range(0, i)
                .Select(start => soFar[start..])
                .FirstOrDefault(end => never.Any(stop => stop.StartsWith(end, StringComparison.Ordinal)), "");
            Check.Equal(soFar[..^held.Length], string.Concat(pieces.Take(i).Select(piece => piece.Text)), $"shown of '{soFar}'");
        }
    }

    private static void DrawnStream()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Check.Same(
            model.Generate([1, 5, 9], Drawn).TokenIds,
            Collect(model.GenerateStreamAsync([1, 5, 9], Drawn)).Select(piece => piece.TokenId),
            "tokens");
        var nearlyGreedy = Twelve with { Sampling = new SamplingOptions { TopK = 1 } };
        Check.Same(model.Generate([1, 5, 9], Twelve).TokenIds, model.Generate([1, 5, 9], nearlyGreedy).TokenIds, "top-k of 1");
    }

    private static void Banned()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path);
        var free = model.Generate("ab c", Characters);
        var word = free.Text![2..4];
        var without = model.Generate("ab c", Characters with { BannedWords = [word] });
        Check.That(!without.Text!.Contains(word, StringComparison.Ordinal), $"'{without.Text}' holds '{word}'");
        var common = free.Text.IndexOf(word, StringComparison.Ordinal) + 1;
        Check.Same(free.TokenIds.Take(common), without.TokenIds.Take(common), "the same until then");
        var token = free.TokenIds[0];
        Check.That(!model.Generate("ab c", Twelve with { BannedTokens = [[token]] }).TokenIds.Contains(token), "a banned token");
    }

    private static void Penalties()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var ids = model.Generate([1, 5], Twelve with { MaxNewTokens = 60, NoRepeatNgram = 1 }).TokenIds;
        Check.Equal(60, ids.Distinct().Count(), "different tokens");
        Check.That(!ids.Contains(5), "nor one of the prompt");
        var strong = model.Generate([1, 5], Twelve with { RepetitionPenalty = 1e6 }).TokenIds;
        Check.Equal(12, strong.Distinct().Count(), "different tokens under a penalty");
        GenerationOptions ending = new() { MaxNewTokens = 12, StopIds = [.. Enumerable.Range(3, 253)] };
        Check.Equal(1, model.Generate([1, 5], ending).TokenIds.Count, "tokens where every token ends");
        var allowed = ending with { StopIds = [.. Enumerable.Range(3, 253).Where(id => id % 2 == 0)] };
        var least = model.Generate([1, 5], allowed with { MinNewTokens = 5 }).TokenIds;
        Check.That(least.Count > 5 && least.Take(5).All(id => id % 2 == 1), "no end among the first five");
        var longer = model.Generate([1, 5], allowed with { MinLength = 5 }).TokenIds;
        Check.That(longer.Count > 3 && longer.Take(3).All(id => id % 2 == 1), "no end among the first five with the prompt");
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        void Refuses(GenerationOptions options, params string[] parts) =>
            Check.Throws<ArgumentException>(() => model.Generate([1], options), parts);

        GenerationOptions Sampling(SamplingOptions sampling) => Twelve with { Sampling = sampling };
        GenerationOptions Beams(BeamOptions beams) => Twelve with { Beams = beams };
        Refuses(Sampling(new() { Temperature = 0 }), "Sampling.Temperature", "at least 1e-6", "found 0");
        Refuses(Sampling(new() { Temperature = double.NaN }), "Sampling.Temperature", "NaN");
        Refuses(Sampling(new() { TopK = 0 }), "Sampling.TopK", "1 or more", "found 0");
        Refuses(Sampling(new() { TopP = 1.5 }), "Sampling.TopP", "at most 1", "found 1.5");
        Refuses(Sampling(new() { MinP = -0.1 }), "Sampling.MinP", "0 … 1", "found -0.1");
        Refuses(Beams(new() { Count = 0 }), "Beams.Count", "1 or more", "found 0");
        Refuses(Beams(new() { Count = 2, ReturnedSequences = 3 }), "Beams.ReturnedSequences", "1 … 2", "found 3");
        Refuses(Beams(new() { LengthPenalty = double.PositiveInfinity }), "Beams.LengthPenalty", "−20 … 20");
        Refuses(Beams(new() { EarlyStopping = (EarlyStopping)9 }), "Beams.EarlyStopping", "found 9");
        Refuses(Twelve with { RepetitionPenalty = 0 }, "RepetitionPenalty", "above 0", "found 0");
        Refuses(Twelve with { NoRepeatNgram = -1 }, "NoRepeatNgram", "found -1");
        Refuses(Twelve with { MinNewTokens = 13 }, "MinNewTokens", "12", "found 13");
        Refuses(Twelve with { MinLength = -1 }, "MinLength", "found -1");
        Refuses(Twelve with { BannedTokens = [[5], []] }, "BannedTokens[1]", "none");
        Refuses(Twelve with { BannedTokens = [[5, 256]] }, "BannedTokens[0]", "0 … 255", "found 256");
        Refuses(Twelve with { StopStrings = [""] }, "StopStrings[0]", "not empty");
        Refuses(Twelve with { BannedWords = ["a", ""] }, "BannedWords[1]", "not empty");
        Refuses(Twelve with { BucketWindow = 0 }, "BucketWindow", "1 or more", "found 0");
        Check.Throws<InvalidDataException>(() => model.Generate([1], Twelve with { StopStrings = ["a"] }), "StopStrings", "tokenizer.json");
        Check.Throws<InvalidDataException>(() => model.Generate([1], Twelve with { BannedWords = ["a"] }), "BannedWords", "tokenizer.json");
        Check.Throws<ArgumentException>(() => model.GenerateStreamAsync([1], Searched), "Beams", "Generate");
    }
}
