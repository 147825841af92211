using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using TorchSharp;

namespace Reft.Internal;

/// <summary>What generation options come to for one model: they are checked once, before any row is read.</summary>
internal sealed class DecodingSetup
{
    private readonly GenerationOptions _options;
    private readonly FSharpList<FSharpFunc<Core.TokensSoFar[], FSharpFunc<torch.Tensor, torch.Tensor>>> _processors;
    private readonly FSharpList<int> _ends;
    private readonly Core.Warping? _warping;

    /// <param name="options">The options.</param>
    /// <param name="vocabulary">The number of ids that the model knows.</param>
    /// <param name="ends">The model's own end-of-sequence ids.</param>
    /// <param name="tokenizer">The model's tokenizer, if it has one.</param>
    /// <param name="problem">Why it has none, if that is known.</param>
    /// <exception cref="ArgumentException">An option means nothing: the message names it.</exception>
    /// <exception cref="InvalidDataException">An option needs a tokenizer, and the model has none.</exception>
    public DecodingSetup(
        GenerationOptions options, int vocabulary, IReadOnlyList<int> ends, Core.TextTokenizer? tokenizer, string? problem)
    {
        GenerationCheck.Run(options, vocabulary);
        _options = options;
        _ends = options.StopIds.Concat(options.IgnoreEos ? [] : ends).Distinct().ToFSharpList();
        var text = new TextSettings(tokenizer, problem, vocabulary);
        Stop = options.StopStrings.Count == 0 ? null : new StopText(options.StopStrings, text.Tokenizer("StopStrings"));
        var banned = options.BannedTokens.Select(ids => ids.ToArray()).Concat(text.IdsOf(options.BannedWords)).ToFSharpList();
        _processors = Processors(banned).ToFSharpList();
        _warping = options.Sampling is { } sampling
            ? new(sampling.Temperature, sampling.TopK.ToOption(), sampling.TopP.ToOption(), sampling.MinP.ToOption())
            : null;
        Beams = options.Beams is { Count: > 1 } beams
            ? new(beams.Count, beams.LengthPenalty, Of(beams.EarlyStopping), beams.ReturnedSequences)
            : null;
    }

    /// <summary>The stop strings, if there are any.</summary>
    public StopText? Stop { get; }

    /// <summary>The beam search, if one is asked for.</summary>
    public Core.BeamSearchOptions? Beams { get; }

    /// <summary>The ids that end a row.</summary>
    public IEnumerable<int> Ends => _ends;

    /// <summary>The length and the ends.</summary>
    /// <param name="limit">The most new tokens.</param>
    public Core.GenerateOptions Limits(int limit) => new(limit, _ends, Core.PaddingSide.Left);

    /// <summary>How the tokens of a batch are chosen.</summary>
    /// <param name="rows">The rows' numbers in the whole input.</param>
    /// <param name="stopping">Whether stop strings end a row, or the caller sees to that.</param>
    public Core.Decoding For(IEnumerable<int> rows, bool stopping = true) =>
        new(
            _processors,
            _warping is null
                ? Core.TokenChoice.MostLikely
                : Core.TokenChoice.NewSampled(_warping, Core.Sampling.streams(_options.Sampling!.Seed, rows)),
            stopping && Stop is { } stop ? FSharpOption<FSharpFunc<int[], bool>>.Some(FuncConvert.FromFunc<int[], bool>(stop.Ends)) : null);

    /// <summary>A result of the facade.</summary>
    /// <param name="row">What the core generated.</param>
    /// <param name="tokenizer">The model's tokenizer, if it has one.</param>
    public GenerationResult Result(Core.GeneratedRow row, ModelTokenizer? tokenizer)
    {
        var text = tokenizer?.Decode(row.Ids);
        return new(row.Ids, text is null || Stop is null ? text : Stop.Cut(text))
        {
            FinishReason = row.Finish.IsEndToken ? FinishReason.EndToken
                : row.Finish.IsStopText ? FinishReason.StopString
                : FinishReason.Length,
            Score = row.Score.ToNullable(),
        };
    }

    private static Core.BeamStopping Of(EarlyStopping stopping) => stopping switch
    {
        EarlyStopping.Full => Core.BeamStopping.Full,
        EarlyStopping.Never => Core.BeamStopping.Never,
        _ => Core.BeamStopping.Unlikely,
    };

    private IEnumerable<FSharpFunc<Core.TokensSoFar[], FSharpFunc<torch.Tensor, torch.Tensor>>> Processors(FSharpList<int[]> banned)
    {
        if (_options.RepetitionPenalty != 1)
        {
            yield return Core.LogitsProcessorModule.repetitionPenalty(_options.RepetitionPenalty);
        }

        if (_options.NoRepeatNgram > 0)
        {
            yield return Core.LogitsProcessorModule.noRepeatNgram(_options.NoRepeatNgram);
        }

        if (!banned.IsEmpty)
        {
            yield return Core.LogitsProcessorModule.banned(banned);
        }

        if (_options.MinLength > 0)
        {
            yield return Core.LogitsProcessorModule.minimumLength(_options.MinLength, _ends);
        }

        if (_options.MinNewTokens > 0)
        {
            yield return Core.LogitsProcessorModule.minimumNewTokens(_options.MinNewTokens, _ends);
        }
    }

    private sealed record TextSettings(Core.TextTokenizer? Found, string? Problem, int Vocabulary)
    {
        public Core.TextTokenizer Tokenizer(string property) =>
            Found ?? throw new InvalidDataException(
                $"{property}: {Problem ?? "the model's folder holds no tokenizer.json or tokenizer.model"}; text cannot be read: use StopIds and BannedTokens");

        public IEnumerable<int[]> IdsOf(IReadOnlyList<string> words)
        {
            for (var i = 0; i < words.Count; i++)
            {
                var tokenizer = Tokenizer("BannedWords");
                int[][] written = [tokenizer.EncodeCompletion(words[i]), tokenizer.EncodeCompletion(" " + words[i])];
                foreach (var ids in written)
                {
                    if (ids.Length == 0 || ids.Any(id => id >= Vocabulary))
                    {
                        throw new ArgumentException(
                            $"expected BannedWords of tokens that the model has, found '{words[i]}' at BannedWords[{i}]", nameof(words));
                    }

                    yield return ids;
                }
            }
        }
    }
}
