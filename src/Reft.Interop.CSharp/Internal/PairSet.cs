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
    /// <param name="data">The rows.</param>
    public static PairSet Of(RowEncoder encoder, int maxLength, bool whole, PreferenceData data)
    {
        Core.Example[] pairs =
        [
            .. data.Rows
                .Select((row, i) => encoder.EncodePair(row, i, maxLength))
                .Where(pair => pair.ScoredCount > 0)
                .Select(pair => whole ? Core.ExampleModule.wholePrompt(pair) : pair),
        ];
        return new PairSet(pairs, data.Count - pairs.Length);
    }

    /// <summary>How well they are told apart.</summary>
    public PreferenceEvaluation Evaluate(
        MeasuredLoss loss, Core.Parameters theta, int batchSize, CancellationToken cancel)
    {
        if (Examples.Length == 0)
        {
            throw new ArgumentException(
                "there is nothing to evaluate: expected at least one pair of completions that differ and have tokens", nameof(loss));
        }

        using var scope = torch.NewDisposeScope();
        var metrics = loss.Measure(Examples, batchSize, theta, cancel);
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
