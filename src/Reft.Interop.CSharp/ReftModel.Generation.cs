using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.FSharp.Collections;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    private const int DefaultNewTokens = 128;

    /// <summary>What the model says after a prompt.</summary>
    /// <exception cref="InvalidDataException">The prompt has no tokens, or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">The prompt and the new tokens do not fit the model's context.</exception>
    public GenerationResult Generate(string prompt, GenerationOptions? options = null) =>
        GenerateBatch([prompt], options)[0];

    /// <summary>What the model says after a prompt of token ids.</summary>
    /// <exception cref="InvalidDataException">The prompt has no tokens, or ids that the model has not.</exception>
    /// <exception cref="ArgumentException">The prompt and the new tokens do not fit the model's context.</exception>
    public GenerationResult Generate(IReadOnlyList<int> promptIds, GenerationOptions? options = null) =>
        GenerateBatch([promptIds], options)[0];

    /// <summary>What the model says after each prompt, in order.</summary>
    /// <exception cref="InvalidDataException">A prompt has no tokens, or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">A prompt and the new tokens do not fit the model's context.</exception>
    public IReadOnlyList<GenerationResult> GenerateBatch(IEnumerable<string> prompts, GenerationOptions? options = null) =>
        [.. GenerateRows(prompts.Select(prompt => new DataRow { Prompt = prompt }), options)];

    /// <summary>What the model says after each prompt of token ids, in order.</summary>
    /// <exception cref="InvalidDataException">A prompt has no tokens, or ids that the model has not.</exception>
    /// <exception cref="ArgumentException">A prompt and the new tokens do not fit the model's context.</exception>
    public IReadOnlyList<GenerationResult> GenerateBatch(
        IEnumerable<IReadOnlyList<int>> promptIds, GenerationOptions? options = null) =>
        [.. GenerateRows(promptIds.Select(ids => new DataRow { InputIds = ids }), options)];

    /// <summary>
    /// What the model says after the prompt of each row, in order and lazily. The rows of
    /// <see cref="GenerationOptions.BucketWindow"/> batches are read when the first of them is asked for; a batch, of prompts
    /// of about the same length among these, is computed when the first of its rows is.
    /// </summary>
    /// <exception cref="InvalidDataException">
    /// A row is not of a form to generate from: the message names it and its field. Or the model has no tokenizer, and an
    /// option needs one.
    /// </exception>
    /// <exception cref="ArgumentException">
    /// A prompt and the new tokens do not fit the model's context, or an option means nothing: the message names it.
    /// </exception>
    /// <exception cref="InvalidOperationException">The options forbid every token, or the model's logits are not numbers.</exception>
    public IEnumerable<GenerationResult> GenerateRows(IEnumerable<DataRow> rows, GenerationOptions? options = null)
    {
        options ??= new GenerationOptions();
        var setup = SetupOf(options);
        var window = (int)Math.Min(int.MaxValue, (long)options.BatchSize * options.BucketWindow);
        return rows
            .Select((row, i) => PromptOf(row, i, options))
            .Chunk(window)
            .SelectMany((prompts, number) => InBuckets(prompts, number * window, options, setup));
    }

    /// <summary>
    /// What the model says after a prompt, token by token as they are computed, on a thread of its own. The tokens are
    /// those of <see cref="Generate(string, GenerationOptions)"/>.
    /// </summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="options">How to generate.</param>
    /// <param name="cancellationToken">Ends it before the next token, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidDataException">The prompt has no tokens, or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">The prompt and the new tokens do not fit the model's context.</exception>
    public IAsyncEnumerable<GeneratedPiece> GenerateStreamAsync(
        string prompt, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        Stream(new DataRow { Prompt = prompt }, options ?? new(), cancellationToken);

    /// <summary>
    /// What the model says after a prompt of token ids, as
    /// <see cref="GenerateStreamAsync(string, GenerationOptions, CancellationToken)"/>.
    /// </summary>
    /// <param name="promptIds">The prompt.</param>
    /// <param name="options">How to generate.</param>
    /// <param name="cancellationToken">Ends it before the next token, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidDataException">The prompt has no tokens, or ids that the model has not.</exception>
    /// <exception cref="ArgumentException">The prompt and the new tokens do not fit the model's context.</exception>
    public IAsyncEnumerable<GeneratedPiece> GenerateStreamAsync(
        IReadOnlyList<int> promptIds, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        Stream(new DataRow { InputIds = promptIds }, options ?? new(), cancellationToken);

    private static void CheckBatchSize(int batchSize)
    {
        if (batchSize < 1)
        {
            throw new ArgumentException($"expected a BatchSize of 1 or more, found {batchSize}", nameof(batchSize));
        }
    }

    private DecodingSetup SetupOf(GenerationOptions options) =>
        new(options, Config.VocabularySize, EndIds(), Tokenizer?.Value, TokenizerProblem);

    private Core.Example PromptOf(DataRow row, int index, GenerationOptions options)
    {
        var prompt = _encoder.Encode(RowUse.Generate, row, index);
        var room = Config.ContextLength - prompt.Ids.Length;
        return room >= (options.MaxNewTokens ?? 1)
            ? prompt
            : throw new ArgumentException(
                $"{row.Source ?? $"row {index}"} has a prompt of {prompt.Ids.Length} tokens, and {options.MaxNewTokens ?? 1} new ones would pass the model's context of {Config.ContextLength}: shorten the prompt or ask for at most {Math.Max(0, room)} new tokens",
                nameof(row));
    }

    private int LimitOf(Core.Example prompt, GenerationOptions options) =>
        options.MaxNewTokens ?? Math.Min(Config.ContextLength - prompt.Ids.Length, DefaultNewTokens);

    private IEnumerable<GenerationResult> InBuckets(
        Core.Example[] prompts, int firstRow, GenerationOptions options, DecodingSetup setup)
    {
        var results = new GenerationResult?[prompts.Length];
        var batches = LengthBuckets.Of(
            [.. prompts.Select(prompt => prompt.Ids.Length)], [.. prompts.Select(prompt => LimitOf(prompt, options))], options.BatchSize);
        var batchOf = batches.SelectMany(batch => batch.Select(row => (row, batch))).ToDictionary(pair => pair.row, pair => pair.batch);
        for (var row = 0; row < prompts.Length; row++)
        {
            if (results[row] is null)
            {
                Complete(prompts, batchOf[row], firstRow, options, setup, results);
            }

            yield return results[row]!;
            results[row] = null;
        }
    }

    private void Complete(
        Core.Example[] prompts, int[] batch, int firstRow, GenerationOptions options, DecodingSetup setup, GenerationResult?[] results)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        using var generating = new GenerationWatch(Config.Family, batch.Length, _logger);
        int[] rows = [.. batch.Select(row => firstRow + row)];
        var examples = batch.Select(row => prompts[row]).ToFSharpList();
        var bound = new SourceRuns(options.Sources).Give(Bound(), rows, Model.Device);
        var limits = setup.Limits(LimitOf(prompts[batch[0]], options));
        var generated = setup.Beams is { } beams
            ? Core.Generate.beams(beams, setup.For(rows), limits, bound, Model, examples)
            : Core.Generate.rows(setup.For(rows), limits, bound, Model, examples).Select(row => new[] { row });
        foreach (var (row, texts) in batch.Zip(generated))
        {
            var found = texts.Select(text => setup.Result(text, Tokenizer)).ToArray();
            results[row] = found[0] with { Alternatives = found[1..] };
            generating.Add(found[0].TokenIds.Count);
        }
    }

    private IAsyncEnumerable<GeneratedPiece> Stream(DataRow row, GenerationOptions options, CancellationToken cancellationToken)
    {
        if (options.Beams is { Count: > 1 })
        {
            throw new ArgumentException(
                "expected no Beams in a stream, found some: a beam search knows its text only at its end; use Generate", nameof(options));
        }

        return Stream(PromptOf(row, 0, options), options, SetupOf(options), cancellationToken);
    }

    private async IAsyncEnumerable<GeneratedPiece> Stream(
        Core.Example prompt, GenerationOptions options, DecodingSetup setup, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var pieces = Channel.CreateUnbounded<GeneratedPiece>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        var work = _gate.Read();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _gate.Closing);
        var worker = DedicatedThread.Run("reft-generate", () =>
        {
            using (work)
            {
#pragma warning disable CA1031 // Whatever goes wrong is the reader's outcome.
                try
                {
                    Produce(prompt, options, setup, pieces.Writer, stop.Token);
                    pieces.Writer.Complete();
                }
                catch (Exception e)
                {
                    pieces.Writer.Complete(e);
                }
#pragma warning restore CA1031
            }

            return true;
        });
        try
        {
            await foreach (var piece in pieces.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                cancellationToken.ThrowIfCancellationRequested();
                yield return piece;
            }
        }
        finally
        {
            // A reader that stops early leaves the model free: the thread ends before the next token.
            await stop.CancelAsync().ConfigureAwait(false);
            await worker.ConfigureAwait(false);
        }
    }

    private void Produce(
        Core.Example prompt, GenerationOptions options, DecodingSetup setup, ChannelWriter<GeneratedPiece> pieces, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        using var scope = torch.NewDisposeScope();
        var bound = new SourceRuns(options.Sources).Give(Bound(), [0], Model.Device);
        var limits = setup.Limits(LimitOf(prompt, options));
        var decoder = Tokenizer?.Value.Stream(true);
        var shown = new StopTextStream(setup.Stop);
        var ids = new List<int>();
        using var generating = new GenerationWatch(Config.Family, 1, _logger);
        foreach (var token in Core.Generate.tokens(setup.For([0], stopping: false), limits, bound, Model, new[] { prompt }.ToFSharpList()))
        {
            ids.Add(token.Id);
            generating.Add(1);
            FinishReason? end = setup.Ends.Contains(token.Id) ? FinishReason.EndToken
                : setup.Stop?.Ends(ids) == true ? FinishReason.StopString
                : ids.Count == limits.MaxNewTokens ? FinishReason.Length
                : null;
            var text = decoder is null ? null : shown.Push(decoder.Push(token.Id));
            if (end is not null && decoder is not null)
            {
                text += shown.Push(decoder.Flush()) + shown.Flush();
            }

            pieces.TryWrite(new GeneratedPiece(token.Id, text) { FinishReason = end });
            if (end is not null)
            {
                return;
            }

            stop.ThrowIfCancellationRequested();
        }
    }
}
