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
        Core.Tuned tuned, Core.Transformer model, RowEncoder encoder, TrainingOptions options, TrainingData data) =>
        OfLanguage(
            tuned,
            model,
            encoder,
            options,
            data,
            (_, reading) => MeasuredLoss.Alone("next token", Core.LossModule.language(reading).ToFunc()));

    /// <summary>Rows with prompts and completions: another loss of them.</summary>
    public static TrainingSet OfLanguage(
        Core.Tuned tuned,
        Core.Transformer model,
        RowEncoder encoder,
        TrainingOptions options,
        TrainingData data,
        Func<IReadOnlyList<(Core.Example Example, DataRow Row, int Index)>, Core.Tuned, MeasuredLoss> loss)
    {
        var maxLength = options.MaxLength ?? model.Config.Context;
        var training = Made(data, options.MaxExamples);
        if (training.Examples.Count == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var held = options.EvaluationData ?? TrainingData.FromRows([]);
        var evaluating = Made(held, null);
        return new TrainingSet(
            training.Examples,
            evaluating.Examples,
            training.Skipped,
            evaluating.Skipped,
            Of(data, training.InMemory).With(options.Penalty),
            Of(held, evaluating.InMemory));

        (IReadOnlyList<Core.Example> Examples, (Core.Example Example, int Row)[]? InMemory, int Skipped) Made(TrainingData rows, int? most)
        {
            if (rows.Rows is IStreamedRows)
            {
                var count = Math.Min(most ?? int.MaxValue, rows.Count);
                var streamed = StreamedExamples.Of(
                    count, row => Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, rows.Rows[row], row)));
                return (streamed, null, count - streamed.Count);
            }

            var first = First(most, rows.Rows);
            var scored = Scored(encoder, maxLength, first);
            return (Array.ConvertAll(scored, pair => pair.Example), scored, first.Count - scored.Length);
        }

        // Rows on the disk have no sources.
        MeasuredLoss Of(TrainingData rows, (Core.Example Example, int Row)[]? pairs)
        {
            var measured = loss(
                pairs is null
                    ? new RowsOnDisk<(Core.Example, DataRow, int)>()
                    : [.. pairs.Select(pair => (pair.Example, rows.Rows[pair.Row], pair.Row))],
                new SourceRuns(rows.Sources).Give(tuned, model.Device, pairs ?? []));
            return measured with
            {
                Objective = string.Join(", with ", [measured.Objective, .. rows.Sources.Select(source => source.Name)]),
            };
        }
    }

    /// <summary>Labelled rows: the loss of a classification head.</summary>
    public static TrainingSet OfLabels(
        Core.Tuned tuned,
        Core.Transformer model,
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

        var maxLength = options.MaxLength ?? model.Config.Context;
        var targets = new RowTargets(classifier.Task);
        var regression = classifier.Task.Problem.IsRegression;
        var measured = new MeasuredLoss(
            $"{classifier.Task.Problem}: {string.Join(", ", classifier.Task.Labels)}",
            ["loss", regression ? "pearson" : "accuracy"],
            Core.LossModule.sequence(classifier, tuned).ToFunc(),
            (batches, theta) =>
            {
                using var bound = tuned.Spec.IsEmpty ? null : Core.Reft.bind(tuned.Spec, theta);
                var found = Core.Classify.evaluate(
                    (bound is null ? (Core.BoundReft[])[] : [bound]).ToFSharpList(),
                    Core.ClassifierModule.withParameters(theta, classifier),
                    tuned.Model.Invoke(theta),
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
            Examples(data.Rows, options.MaxExamples),
            Examples(evaluation?.Rows ?? [], null),
            0,
            0,
            measured.With(options.Penalty),
            measured);

        IReadOnlyList<Core.Example> Examples(IReadOnlyList<LabelledRow> rows, int? most) =>
            rows is IStreamedRows
                ? StreamedExamples.Of(Math.Min(most ?? int.MaxValue, rows.Count), row => Encode(rows[row], row))
                : [.. First(most, rows).Select(Encode)];

        Core.Example Encode(LabelledRow row, int index) => encoder.EncodeRow(row, index, maxLength, targets.Of(row, index));
    }
}
