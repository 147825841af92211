using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>How likely the model finds each row, in order and lazily: a batch is computed when its first row is asked for.</summary>
    /// <param name="rows">
    /// Rows of every form that <see cref="RowUse.Score"/> allows. No EOS is added. Rows with a prompt or labels are cut to
    /// the model's context as in training.
    /// </param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <param name="sources">Activations of other runs, which attached interchanges read: row i of each stands for row i.</param>
    /// <exception cref="InvalidDataException">A row is not of a form to score: the message names it and its field.</exception>
    /// <exception cref="ArgumentException">A row without a prompt and labels is longer than the model's context.</exception>
    public IEnumerable<RowScore> Score(
        IEnumerable<DataRow> rows, int batchSize = 8, IReadOnlyList<CollectedActivations>? sources = null)
    {
        CheckBatchSize(batchSize);
        Core.TransformerModule.causalHead(Model);
        var runs = new SourceRuns(sources ?? []);
        return rows.Select(ToScore).Chunk(batchSize).SelectMany(
            (examples, chunk) => ScoreBatch(examples, chunk * batchSize, runs));
    }

    /// <summary>How likely the model finds a text; every token but the first is scored.</summary>
    /// <exception cref="InvalidDataException">The text has no tokens, or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">The text is longer than the model's context.</exception>
    public RowScore Score(string text) => Score([new DataRow { Text = text }]).Single();

    /// <summary>How likely the model finds a row of token ids; every token but the first is scored.</summary>
    /// <exception cref="InvalidDataException">There are no ids, or ids that the model has not.</exception>
    /// <exception cref="ArgumentException">The row is longer than the model's context.</exception>
    public RowScore Score(IReadOnlyList<int> ids) => Score([new DataRow { InputIds = ids }]).Single();

    private RowScore RowScoreOf(Core.Example example, float[] logprobs, int row, SourceRuns sources)
    {
        var scored = Enumerable.Range(1, Math.Max(0, example.Ids.Length - 1))
            .Where(i => example.Labels[i] != TrainingExample.Ignored)
            .ToArray();

        // Labels may ask for other tokens than those of the row; their probabilities are not among the row's.
        double? loss = scored.Length == 0 ? null
            : Array.TrueForAll(scored, i => example.Labels[i] == example.Ids[i]) ? -scored.Average(i => (double)logprobs[i - 1])
            : MeanLoss([(example, row)], 1, sources, CancellationToken.None);
        return new RowScore(example.Ids, logprobs, loss);
    }

    private Core.Example ToScore(DataRow row, int index)
    {
        var example = _encoder.Encode(RowUse.Score, row, index);
        if (row is not { Prompt: null, Labels: null, PromptLength: null })
        {
            return Core.ExampleModule.truncate(Config.ContextLength, example);
        }

        return example.Ids.Length <= Config.ContextLength
            ? example
            : throw new ArgumentException(
                $"{row.Source ?? $"row {index}"} has {example.Ids.Length} tokens, more than the model's context of {Config.ContextLength}: shorten it",
                nameof(row));
    }

    private RowScore[] ScoreBatch(Core.Example[] examples, int firstRow, SourceRuns sources)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        var bound = sources.Give(Bound(), [.. Enumerable.Range(firstRow, examples.Length)], Model.Device);
        var batch = Core.BatchModule.create(Core.PaddingSide.Right, examples.ToFSharpList());
        return [.. Core.Score.logprobs(bound, Model, batch).Select(
            (logprobs, i) => RowScoreOf(examples[i], logprobs, firstRow + i, sources))];
    }
}
