namespace Reft.Internal;

/// <summary>What a training run works on.</summary>
/// <param name="Examples">What it trains on; at least one.</param>
/// <param name="Evaluation">What it evaluates.</param>
/// <param name="Skipped">Rows that give no example.</param>
/// <param name="SkippedEvaluation">Rows of the evaluation that give none.</param>
/// <param name="Trained">What it minimises.</param>
/// <param name="Evaluated">
/// What is measured: rows that are evaluated read sources of their own, and no penalty is added to their loss.
/// </param>
internal sealed record TrainingSet(
    IReadOnlyList<Core.Example> Examples,
    IReadOnlyList<Core.Example> Evaluation,
    int Skipped,
    int SkippedEvaluation,
    MeasuredLoss Trained,
    MeasuredLoss Evaluated)
{
    /// <summary>How its model is computed; disposed with the run.</summary>
    public ModelSteps? Steps { get; init; }

    /// <summary>The rows on which edits are measured; null where none are to be.</summary>
    public EditProbe? Probe { get; init; }

    /// <summary>The rows that have a scored token, as examples that are cut to a length.</summary>
    public static (Core.Example Example, int Row)[] Scored(RowEncoder encoder, int maxLength, IReadOnlyList<DataRow> rows) =>
    [
        .. rows
            .Select((row, i) => (Example: Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, i)), i))
            .Where(pair => pair.Example.ScoredCount > 0),
    ];

    /// <summary>The first rows, where there are to be no more than so many.</summary>
    public static IReadOnlyList<T> First<T>(int? most, IReadOnlyList<T> rows) =>
        most is not { } count || count >= rows.Count ? rows
        : rows is IStreamedRows ? new FirstStreamed<T>(rows, count)
        : [.. rows.Take(count)];

    /// <summary>Rows with prompts and completions: the loss of their scored tokens.</summary>
    public static TrainingSet OfLanguage(
        ModelSteps steps, RowEncoder encoder, TrainingOptions options, TrainingData data) =>
        OfLanguage(steps, encoder, options, data, (_, reading) => MeasuredLoss.Alone("next token", steps.Language(reading)));

    /// <summary>
    /// Rows with prompts and completions: another loss of them, made of the rows where they are in memory, else of nothing.
    /// </summary>
    public static TrainingSet OfLanguage(
        ModelSteps steps,
        RowEncoder encoder,
        TrainingOptions options,
        TrainingData data,
        Func<IReadOnlyList<(Core.Example Example, DataRow Row, int Index)>?, Core.Tuned, MeasuredLoss> loss)
    {
        var maxLength = options.MaxLength ?? steps.Model.Config.Context;
        var (training, skipped, trained, reading) = Of(data, First(options.MaxExamples, data.Rows));
        if (training.Count == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var held = options.EvaluationData ?? TrainingData.FromRows([]);
        var (evaluating, skippedEvaluation, evaluated, heldReading) = Of(held, held.Rows);
        return new TrainingSet(training, evaluating, skipped, skippedEvaluation, trained.With(options.Penalty), evaluated)
        {
            Probe = evaluating.Count > 0 ? EditProbe.Of(options, heldReading, evaluating) : EditProbe.Of(options, reading, training),
        };

        (IReadOnlyList<Core.Example> Examples, int Skipped, MeasuredLoss Loss, Core.Tuned Reading) Of(TrainingData data, IReadOnlyList<DataRow> rows)
        {
            if (rows is IStreamedRows)
            {
                var streamed = StreamedExamples.Of(
                    rows.Count, row => Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, rows[row], row)));
                // Only rows in memory have sources.
                return (streamed, rows.Count - streamed.Count, loss(null, steps.Tuned), steps.Tuned);
            }

            var pairs = Scored(encoder, maxLength, rows);
            var reading = new SourceRuns(data.Sources).Give(steps.Tuned, steps.Model.Device, pairs);
            var measured = loss([.. pairs.Select(pair => (pair.Example, rows[pair.Row], pair.Row))], reading);
            return (
                Array.ConvertAll(pairs, pair => pair.Example),
                rows.Count - pairs.Length,
                measured with
                {
                    Objective = string.Join(", with ", [measured.Objective, .. data.Sources.Select(source => source.Name)]),
                },
                reading);
        }
    }

    /// <summary>Labelled rows: the loss of a classification head.</summary>
    public static TrainingSet OfLabels(
        ModelSteps steps,
        Core.Classifier classifier,
        RowEncoder encoder,
        TrainingOptions options,
        ClassificationData data,
        ClassificationData? evaluation)
    {
        if (data.Count == 0)
        {
            throw new ArgumentException("the dataset is empty: expected at least one row to train on", nameof(data));
        }

        var (maxLength, tuned) = (options.MaxLength ?? steps.Model.Config.Context, steps.Tuned);
        var targets = new RowTargets(classifier.Task);
        var measured = new MeasuredLoss(
            $"{classifier.Task.Problem}: {string.Join(", ", classifier.Task.Labels)}",
            [.. Core.SequenceMetrics.names(classifier.Task)],
            steps.Sequence(classifier),
            (batches, theta) =>
            {
                using var bound = tuned.Spec.IsEmpty ? null : Core.Reft.bind(tuned.Spec, theta);
                var found = Core.Classify.evaluate(
                    (bound is null ? (Core.BoundReft[])[] : [bound]).ToFSharpList(),
                    Core.ClassifierModule.withParameters(theta, classifier),
                    tuned.Model.Invoke(theta),
                    batches);
                return [.. Core.SequenceMetrics.metrics(classifier.Task, found)];
            });
        var (training, held) = (Examples(First(options.MaxExamples, data.Rows)), Examples(evaluation?.Rows ?? []));
        return new TrainingSet(training, held, 0, 0, measured.With(options.Penalty), measured)
        {
            Probe = EditProbe.Of(options, tuned, held.Count > 0 ? held : training),
        };

        IReadOnlyList<Core.Example> Examples(IReadOnlyList<LabelledRow> rows) =>
            rows is IStreamedRows
                ? StreamedExamples.Of(rows.Count, row => Encode(rows[row], row))
                : [.. rows.Select(Encode)];

        Core.Example Encode(LabelledRow row, int index) => encoder.EncodeRow(row, index, maxLength, targets.Of(row, index));
    }
}
