namespace Reft.Internal;

/// <summary>Runs with other losses than that of the next token.</summary>
internal sealed partial record TrainingSet
{
    /// <summary>Examples that are trained on by a loss, and others that are measured by a loss of their own.</summary>
    public static TrainingSet Of(
        TrainingOptions options,
        (Core.Example[] Examples, int Skipped, MeasuredLoss Loss) training,
        (Core.Example[] Examples, int Skipped, MeasuredLoss Loss) evaluation) =>
        new(
            training.Examples,
            evaluation.Examples,
            training.Skipped,
            evaluation.Skipped,
            options.Penalty?.AddTo(training.Loss.Loss) ?? training.Loss.Loss)
        {
            Objective = training.Loss.Objective,
            Metrics = evaluation.Loss.MetricNames,
            Evaluate = theta =>
            {
                var found = evaluation.Loss.Measure(evaluation.Examples, options.BatchSize, theta);
                return [.. evaluation.Loss.MetricNames.Select(name => found[name])];
            },
        };

    /// <summary>Rows with prompts and completions, by a loss of theirs.</summary>
    /// <param name="encoder">The model's.</param>
    /// <param name="maxLength">To what rows are cut.</param>
    /// <param name="options">How to train, with the rows that are evaluated.</param>
    /// <param name="data">The rows.</param>
    /// <param name="loss">The loss of rows.</param>
    public static TrainingSet OfRows(
        RowEncoder encoder, int maxLength, TrainingOptions options, TrainingData data, Func<ScoredRows, MeasuredLoss> loss)
    {
        var training = ScoredRows.Of(encoder, maxLength, data);
        if (training.Examples.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var evaluation = ScoredRows.Of(encoder, maxLength, options.EvaluationData ?? TrainingData.FromRows([]));
        return Of(
            options,
            (training.Examples, training.Skipped, loss(training)),
            (evaluation.Examples, evaluation.Skipped, loss(evaluation)));
    }

    /// <summary>Pairs, by a loss of theirs.</summary>
    /// <param name="encoder">The model's.</param>
    /// <param name="maxLength">To what rows are cut.</param>
    /// <param name="whole">Whether positions refer to whole rows, as for a reward, rather than to prompts.</param>
    /// <param name="options">How to train.</param>
    /// <param name="data">The pairs.</param>
    /// <param name="evaluation">Pairs that are evaluated.</param>
    /// <param name="loss">The loss.</param>
    public static TrainingSet OfPairs(
        RowEncoder encoder, int maxLength, bool whole, TrainingOptions options, PreferenceData data, PreferenceData? evaluation, MeasuredLoss loss)
    {
        var training = PairSet.Of(encoder, maxLength, whole, data);
        if (training.Examples.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one pair to train on"
                    : $"none of the {data.Count} pairs has completions that differ within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the rows",
                nameof(data));
        }

        var held = PairSet.Of(encoder, maxLength, whole, evaluation ?? PreferenceData.FromRows([]));
        return Of(options, (training.Examples, training.Skipped, loss), (held.Examples, held.Skipped, loss));
    }
}
