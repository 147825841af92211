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
    Core.Example[] Examples,
    Core.Example[] Evaluation,
    int Skipped,
    int SkippedEvaluation,
    MeasuredLoss Trained,
    MeasuredLoss Evaluated)
{
    /// <summary>How its model is computed; disposed with the run.</summary>
    public ModelSteps? Steps { get; init; }

    /// <summary>The rows that have a scored token, as examples that are cut to a length.</summary>
    public static (Core.Example Example, int Row)[] Scored(RowEncoder encoder, int maxLength, IReadOnlyList<DataRow> rows) =>
    [
        .. rows
            .Select((row, i) => (Example: Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, i)), i))
            .Where(pair => pair.Example.ScoredCount > 0),
    ];

    /// <summary>The first rows, where there are to be no more than so many.</summary>
    public static IReadOnlyList<T> First<T>(int? most, IReadOnlyList<T> rows) =>
        most is { } count && count < rows.Count ? [.. rows.Take(count)] : rows;

    /// <summary>Rows with prompts and completions: the loss of their scored tokens.</summary>
    public static TrainingSet OfLanguage(
        ModelSteps steps, RowEncoder encoder, TrainingOptions options, TrainingData data) =>
        OfLanguage(steps, encoder, options, data, (_, tuned) => MeasuredLoss.Alone("next token", steps.Language(tuned)));

    /// <summary>Rows with prompts and completions: another loss of them.</summary>
    public static TrainingSet OfLanguage(
        ModelSteps steps,
        RowEncoder encoder,
        TrainingOptions options,
        TrainingData data,
        Func<IReadOnlyList<(Core.Example Example, DataRow Row, int Index)>, Core.Tuned, MeasuredLoss> loss)
    {
        var maxLength = options.MaxLength ?? steps.Model.Config.Context;
        var rows = First(options.MaxExamples, data.Rows);
        var training = Scored(encoder, maxLength, rows);
        if (training.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var held = options.EvaluationData ?? TrainingData.FromRows([]);
        var evaluating = Scored(encoder, maxLength, held.Rows);
        return new TrainingSet(
            Examples(training),
            Examples(evaluating),
            rows.Count - training.Length,
            held.Count - evaluating.Length,
            Of(data, training).With(options.Penalty),
            Of(held, evaluating));

        MeasuredLoss Of(TrainingData rows, (Core.Example Example, int Row)[] pairs)
        {
            var measured = loss(
                [.. pairs.Select(pair => (pair.Example, rows.Rows[pair.Row], pair.Row))],
                new SourceRuns(rows.Sources).Tune(steps.Tuned, steps.Model.Device, pairs));
            return measured with
            {
                Objective = string.Join(", with ", [measured.Objective, .. rows.Sources.Select(source => source.Name)]),
            };
        }

        static Core.Example[] Examples((Core.Example Example, int Row)[] pairs) => [.. pairs.Select(pair => pair.Example)];
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

        var maxLength = options.MaxLength ?? steps.Model.Config.Context;
        var targets = new RowTargets(classifier.Task);
        var spec = steps.Spec;
        var regression = classifier.Task.Problem.IsRegression;
        var measured = new MeasuredLoss(
            $"{classifier.Task.Problem}: {string.Join(", ", classifier.Task.Labels)}",
            ["loss", regression ? "pearson" : "accuracy"],
            steps.Sequence(classifier),
            (batches, theta) =>
            {
                using var bound = spec.IsEmpty ? null : Core.Reft.bind(spec, theta);
                var found = Core.Classify.evaluate(
                    (bound is null ? (Core.BoundReft[])[] : [bound]).ToFSharpList(),
                    Core.ClassifierModule.withParameters(theta, classifier),
                    steps.Model,
                    batches);
                return
                [
                    Tuple.Create("loss", found.Loss),
                    regression
                        ? Tuple.Create("pearson", found.Pearson.ToNullable() ?? double.NaN)
                        : Tuple.Create("accuracy", found.Accuracy.ToNullable() ?? double.NaN),
                ];
            });
        return new TrainingSet(
            Examples(First(options.MaxExamples, data.Rows)),
            Examples(evaluation?.Rows ?? []),
            0,
            0,
            measured.With(options.Penalty),
            measured);

        Core.Example[] Examples(IReadOnlyList<LabelledRow> rows) =>
            [.. rows.Select((row, i) => encoder.EncodeRow(row, i, maxLength, targets.Of(row, i)))];
    }
}
