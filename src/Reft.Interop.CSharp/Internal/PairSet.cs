using TorchSharp;

namespace Reft.Internal;

/// <summary>Pairs that a model can learn from, and how many there were besides.</summary>
/// <param name="Examples">The pairs.</param>
/// <param name="Skipped">Rows whose completions are equal or have no token left.</param>
internal sealed record PairSet(Core.Example[] Examples, int Skipped)
{
    /// <summary>The pairs of rows.</summary>
    /// <param name="encoder">The model's.</param>
    /// <param name="maxLength">To what they are cut.</param>
    /// <param name="whole">Whether positions refer to whole rows, as for a reward, rather than to prompts.</param>
    /// <param name="rows">The rows.</param>
    public static PairSet Of(RowEncoder encoder, int maxLength, bool whole, IReadOnlyList<PreferenceRow> rows)
    {
        Core.Example[] pairs =
        [
            .. rows
                .Select((row, i) => encoder.EncodePair(row, i, maxLength))
                .Where(pair => pair.ScoredCount > 0)
                .Select(pair => whole ? Core.ExampleModule.wholePrompt(pair) : pair),
        ];
        return new PairSet(pairs, rows.Count - pairs.Length);
    }

    /// <summary>What a run works on that learns from pairs.</summary>
    public static TrainingSet ToTrain(
        RowEncoder encoder, int maxLength, bool whole, TrainingOptions options, PreferenceData data, PreferenceData? evaluation, MeasuredLoss loss)
    {
        var training = Of(encoder, maxLength, whole, TrainingSet.First(options.MaxExamples, data.Rows));
        if (training.Examples.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one pair to train on"
                    : $"none of the {data.Count} pairs has completions that differ within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the rows",
                nameof(data));
        }

        var held = Of(encoder, maxLength, whole, evaluation?.Rows ?? []);
        return new TrainingSet(
            training.Examples, held.Examples, training.Skipped, held.Skipped, loss.With(options.Penalty), loss);
    }

    /// <summary>How well they are told apart.</summary>
    public PreferenceEvaluation Evaluate(
        MeasuredLoss loss, Core.Parameters theta, int batchSize, CancellationToken cancel)
    {
        if (Examples.Length == 0)
        {
            throw new ArgumentException("expected at least one pair to evaluate, whose completions differ and have tokens, found none");
        }

        using var scope = torch.NewDisposeScope();
        var metrics = loss.Metrics(
            Examples.Chunk(batchSize).Select(chunk =>
            {
                cancel.ThrowIfCancellationRequested();
                return Core.BatchModule.create(Core.PaddingSide.Right, chunk.ToFSharpList());
            }),
            theta).ToDictionary(metric => metric.Item1, metric => metric.Item2, StringComparer.Ordinal);
        return new PreferenceEvaluation
        {
            Pairs = Examples.Length,
            SkippedPairs = Skipped,
            Loss = metrics["loss"],
            Accuracy = metrics["accuracy"],
            Margin = metrics["margin"],
            Suppression = metrics.TryGetValue("suppression", out var share) ? share : null,
        };
    }
}
