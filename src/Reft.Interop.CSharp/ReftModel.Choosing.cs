using System.Text;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// What the model chooses of each row, in order and lazily: some rows are computed together when the first of them is asked
    /// for. Prompt and choice become tokens as in <see cref="Score(IEnumerable{DataRow}, int, IReadOnlyList{CollectedActivations}?)"/>:
    /// each by itself, so that no token spans the border between them.
    /// </summary>
    /// <param name="rows">The rows.</param>
    /// <param name="options">By what it chooses.</param>
    /// <exception cref="InvalidDataException">
    /// A row has fewer than two choices, an empty text, or an answer that is none; or the model has no tokenizer. The message names
    /// the row and its field.
    /// </exception>
    /// <exception cref="ArgumentException">A prompt with a choice is longer than the model's context, or an option is out of range.</exception>
    public IEnumerable<ChoiceResult> Choose(IEnumerable<ChoiceRow> rows, ChoiceOptions? options = null)
    {
        options ??= new ChoiceOptions();
        CheckBatchSize(options.BatchSize);
        Core.TransformerModule.causalHead(Model);
        var numbered = rows.Select((row, i) =>
            ChoiceRowReader.Check(row with { Source = row.Source ?? $"row {i}" }, row.Source ?? $"row {i}"));
        return options.By == ChoiceScoring.Generation
            ? ChooseBySaying(numbered, options)
            : numbered.Chunk(options.BatchSize).SelectMany(chunk => ChooseByLikelihood(chunk, options));
    }

    /// <summary>What the model finds the likeliest to follow a prompt.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="choices">The choices, two or more.</param>
    /// <param name="options">By what it chooses.</param>
    /// <exception cref="InvalidDataException">There are fewer than two choices, or an empty text; or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">The prompt with a choice is longer than the model's context, or an option is out of range.</exception>
    public ChoiceResult Choose(string prompt, IReadOnlyList<string> choices, ChoiceOptions? options = null) =>
        Choose([new ChoiceRow { Prompt = prompt, Choices = choices }], options).Single();

    private IEnumerable<ChoiceResult> ChooseBySaying(IEnumerable<ChoiceRow> rows, ChoiceOptions options)
    {
        if (options.MaxNewTokens < 1)
        {
            throw new ArgumentException($"expected MaxNewTokens of 1 or more, found {options.MaxNewTokens}", nameof(options));
        }

        var generation = new GenerationOptions { MaxNewTokens = options.MaxNewTokens, BatchSize = options.BatchSize };
        return rows.Chunk(options.BatchSize).SelectMany(chunk => chunk.Zip(
            GenerateRows(chunk.Select(row => new DataRow { Prompt = row.Prompt, Source = row.Source }), generation),
            (row, said) => new ChoiceResult
            {
                Choice = Core.Choices.said(row.Choices.ToFSharpList(), said.Text ?? "").ToNullable(),
                Answer = row.Answer,
                Text = said.Text,
            }));
    }

    private IEnumerable<ChoiceResult> ChooseByLikelihood(ChoiceRow[] rows, ChoiceOptions options)
    {
        var pairs = rows.SelectMany(row => row.Choices.Select((choice, i) => (row.Prompt, Choice: choice, Source: row.Source!, Field: $"choices[{i}]"))).ToArray();
        var found = Likelihoods(pairs, options.BatchSize);
        string[] distinct = options.By == ChoiceScoring.PointwiseInformation ? [.. pairs.Select(pair => pair.Choice).Distinct()] : [];
        var neutral = distinct.Zip(Likelihoods(
            [.. distinct.Select(choice => (options.NeutralPrompt, choice, nameof(ChoiceOptions.NeutralPrompt), "choices"))], options.BatchSize))
            .ToDictionary(pair => pair.First, pair => pair.Second.LogProb, StringComparer.Ordinal);
        var measure = options.By switch
        {
            ChoiceScoring.PerToken => Core.ChoiceMeasure.PerToken,
            ChoiceScoring.PerByte => Core.ChoiceMeasure.PerByte,
            ChoiceScoring.PointwiseInformation => Core.ChoiceMeasure.PointwiseInformation,
            _ => Core.ChoiceMeasure.Likelihood,
        };
        var first = 0;
        foreach (var row in rows)
        {
            var likelihoods = found[first..(first += row.Choices.Count)];
            double[] scores =
            [
                .. row.Choices.Zip(likelihoods, (choice, likelihood) => Core.Choices.score(
                    measure, Encoding.UTF8.GetByteCount(choice), neutral.GetValueOrDefault(choice), likelihood)),
            ];
            if (!Array.TrueForAll(scores, double.IsFinite))
            {
                throw new InvalidDataException(
                    $"{row.Source}: the model gives probabilities that are not numbers: its weights, or the adapter's, are damaged or do not fit the dtype");
            }

            var probabilities = Core.Reliability.probabilities(1, scores);
            yield return new ChoiceResult
            {
                Choice = Core.Choices.best(scores),
                Answer = row.Answer,
                Scores =
                [
                    .. likelihoods.Select((likelihood, i) =>
                        new ScoredChoice(likelihood.LogProb, likelihood.Tokens, scores[i], probabilities[i])),
                ],
            };
        }
    }

    // In batches of rows of about one length, in the order that was asked for.
    private Core.ChoiceLikelihood[] Likelihoods((string Prompt, string Choice, string Source, string Field)[] pairs, int batchSize)
    {
        var examples = pairs.Select(pair => ToChoose(pair.Prompt, pair.Choice, pair.Source, pair.Field)).ToArray();
        var found = new Core.ChoiceLikelihood[pairs.Length];
        foreach (var places in Enumerable.Range(0, pairs.Length).OrderBy(i => examples[i].Ids.Length).Chunk(batchSize))
        {
            using var work = _gate.Read();
            using var scope = torch.NewDisposeScope();
            var batch = Core.BatchModule.create(Core.PaddingSide.Right, places.Select(i => examples[i]).ToFSharpList());
            foreach (var (place, likelihood) in places.Zip(Core.Choices.likelihoods(Bound(), Model, batch)))
            {
                found[place] = likelihood;
            }
        }

        return found;
    }

    private Core.Example ToChoose(string prompt, string choice, string source, string field)
    {
        var example = _encoder.Encode(RowUse.Score, new DataRow { Prompt = prompt, Completion = choice, Source = source }, 0);
        return example.Ids.Length == example.Prompt ? throw RowForm.Refuse(source, field, "it has no token: expected a text")
            : example.Ids.Length <= Config.ContextLength ? example
            : throw new ArgumentException(
                $"{source} has {example.Ids.Length} tokens with its {field}, more than the model's context of {Config.ContextLength}: shorten its prompt",
                nameof(prompt));
    }
}
