using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>What a training run works on.</summary>
/// <param name="Examples">What it trains on; at least one.</param>
/// <param name="Evaluation">What it evaluates.</param>
/// <param name="Skipped">Rows that give no example.</param>
/// <param name="SkippedEvaluation">Rows of the evaluation that give none.</param>
/// <param name="Loss">What it minimises.</param>
internal sealed record TrainingSet(
    Core.Example[] Examples,
    Core.Example[] Evaluation,
    int Skipped,
    int SkippedEvaluation,
    Func<Core.Batch, Core.Parameters, torch.Tensor> Loss)
{
    /// <summary>What parameters are worth on batches of the evaluation, by name, the loss first; null where nothing is evaluated.</summary>
    public Func<IEnumerable<Core.Batch>, Core.Parameters, FSharpList<Tuple<string, double>>>? Metrics { get; init; }

    /// <summary>The rows that have a scored token, as examples that are cut to a length.</summary>
    public static (Core.Example Example, int Row)[] Scored(RowEncoder encoder, int maxLength, TrainingData data) =>
    [
        .. data.Rows
            .Select((row, i) => (Example: Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, i)), i))
            .Where(pair => pair.Example.ScoredCount > 0),
    ];

    /// <summary>Rows with prompts and completions: the loss of their scored tokens.</summary>
    public static TrainingSet OfLanguage(
        Core.Transformer model, AttachedReft start, RowEncoder encoder, TrainingOptions options, TrainingData data) =>
        OfLanguage(
            model,
            start,
            encoder,
            options,
            data,
            (_, tuned) => MeasuredLoss.Alone(Core.LossModule.language(tuned).ToFunc()));

    /// <summary>Rows with prompts and completions: another loss of them.</summary>
    public static TrainingSet OfLanguage(
        Core.Transformer model,
        AttachedReft start,
        RowEncoder encoder,
        TrainingOptions options,
        TrainingData data,
        Func<IReadOnlyList<(Core.Example Example, DataRow Row, int Index)>, Core.Tuned, MeasuredLoss> loss)
    {
        var maxLength = options.MaxLength ?? model.Config.Context;
        var held = options.EvaluationData;
        var training = Scored(encoder, maxLength, data);
        var evaluating = held is null ? [] : Scored(encoder, maxLength, held);
        if (training.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        // Rows that are evaluated read sources of their own, and no penalty is added to their loss.
        var plain = Of(data, training).Loss;
        return new TrainingSet(
            Examples(training),
            Examples(evaluating),
            data.Count - training.Length,
            held is null ? 0 : held.Count - evaluating.Length,
            options.Penalty?.AddTo(plain) ?? plain)
        {
            Metrics = held is null ? null : Of(held, evaluating).Metrics,
        };

        MeasuredLoss Of(TrainingData rows, (Core.Example Example, int Row)[] pairs) =>
            loss(
                [.. pairs.Select(pair => (pair.Example, rows.Rows[pair.Row], pair.Row))],
                new SourceRuns(rows.Sources).Tune(start.Spec, model, pairs));

        static Core.Example[] Examples((Core.Example Example, int Row)[] pairs) => [.. pairs.Select(pair => pair.Example)];
    }

    /// <summary>Labelled rows: the loss of a classification head.</summary>
    public static TrainingSet OfLabels(
        Core.Transformer model,
        AttachedReft? attached,
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
        var held = Examples(evaluation?.Rows ?? []);
        var loss = Core.LossModule.classifier(attached?.Spec ?? [], classifier, model).ToFunc();
        return new TrainingSet(Examples(data.Rows), held, 0, 0, options.Penalty?.AddTo(loss) ?? loss)
        {
            Metrics = MeasuredLoss.Alone(loss).Metrics,
        };

        Core.Example[] Examples(IReadOnlyList<LabelledRow> rows) =>
            [.. rows.Select((row, i) => encoder.EncodeRow(row, i, maxLength, targets.Of(row, i)))];
    }
}
