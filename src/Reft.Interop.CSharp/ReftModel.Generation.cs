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
    /// What the model says after the prompt of each row, in order and lazily: a batch is computed when its first row is
    /// asked for.
    /// </summary>
    /// <exception cref="InvalidDataException">A row is not of a form to generate from: the message names it and its field.</exception>
    /// <exception cref="ArgumentException">A prompt and the new tokens do not fit the model's context.</exception>
    public IEnumerable<GenerationResult> GenerateRows(IEnumerable<DataRow> rows, GenerationOptions? options = null)
    {
        options ??= new GenerationOptions();
        Check(options);
        return rows
            .Select((row, i) => PromptOf(row, i, options))
            .Chunk(options.BatchSize)
            .SelectMany((prompts, chunk) => Complete(prompts, chunk * options.BatchSize, options));
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

    private void Check(GenerationOptions options)
    {
        CheckBatchSize(options.BatchSize);
        if (options.MaxNewTokens < 0)
        {
            throw new ArgumentException($"expected MaxNewTokens of 0 or more, found {options.MaxNewTokens}", nameof(options));
        }

        foreach (var id in options.StopIds.Where(id => id < 0 || id >= Config.VocabularySize))
        {
            throw new ArgumentException($"expected StopIds of 0 … {Config.VocabularySize - 1}, found {id}", nameof(options));
        }
    }

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

    private FSharpList<Core.BoundReft> Bound() => _attached is { } attached ? [attached.Bound] : [];

    private int LimitOf(Core.Example prompt, GenerationOptions options) =>
        options.MaxNewTokens ?? Math.Min(Config.ContextLength - prompt.Ids.Length, DefaultNewTokens);

    private Core.GenerateOptions Decoding(int limit, GenerationOptions options) =>
        new(limit, options.StopIds.Concat(options.IgnoreEos ? [] : EndIds()).ToFSharpList(), Core.PaddingSide.Left);

    private GenerationResult[] Complete(Core.Example[] prompts, int firstRow, GenerationOptions options)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        using var generating = new GenerationWatch(Config.Family, prompts.Length, _logger);
        var sources = new SourceRuns(options.Sources);
        var results = new GenerationResult[prompts.Length];

        // Rows of one limit run together: what a row says must not depend on how long the others' prompts are.
        foreach (var group in Enumerable.Range(0, prompts.Length).GroupBy(row => LimitOf(prompts[row], options)))
        {
            var bound = sources.Give(Bound(), [.. group.Select(row => firstRow + row)], Model.Device);
            var completions = Core.Generate.completeRows(
                Decoding(group.Key, options), bound, Model, group.Select(row => prompts[row]).ToFSharpList());
            foreach (var (row, ids) in group.Zip(completions))
            {
                results[row] = new GenerationResult(ids, Tokenizer?.Decode(ids));
                generating.Add(results[row].TokenIds.Count);
            }
        }

        return results;
    }

    private IAsyncEnumerable<GeneratedPiece> Stream(DataRow row, GenerationOptions options, CancellationToken cancellationToken)
    {
        Check(options);
        return Stream(PromptOf(row, 0, options), options, cancellationToken);
    }

    private async IAsyncEnumerable<GeneratedPiece> Stream(
        Core.Example prompt, GenerationOptions options, [EnumeratorCancellation] CancellationToken cancellationToken)
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
                    Produce(prompt, options, pieces.Writer, stop.Token);
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

    private void Produce(Core.Example prompt, GenerationOptions options, ChannelWriter<GeneratedPiece> pieces, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        using var scope = torch.NewDisposeScope();
        var bound = new SourceRuns(options.Sources).Give(Bound(), [0], Model.Device);
        var decoding = Decoding(LimitOf(prompt, options), options);
        var decoder = Tokenizer?.Value.Stream(true);
        var count = 0;
        using var generating = new GenerationWatch(Config.Family, 1, _logger);
        foreach (var token in Core.Generate.greedyRows(decoding, bound, Model, new[] { prompt }.ToFSharpList()))
        {
            var isLast = ++count == decoding.MaxNewTokens || decoding.StopIds.Contains(token.Id);
            generating.Add(1);
            pieces.TryWrite(new GeneratedPiece(
                token.Id, decoder is null ? null : decoder.Push(token.Id) + (isLast ? decoder.Flush() : "")));
            if (!isLast)
            {
                stop.ThrowIfCancellationRequested();
            }
        }
    }
}
