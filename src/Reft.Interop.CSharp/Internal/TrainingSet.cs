using TorchSharp;

namespace Reft.Internal;

/// <summary>What a training run works on.</summary>
/// <param name="Examples">What it trains on; at least one.</param>
/// <param name="Evaluation">What it evaluates.</param>
/// <param name="Skipped">Rows that give no example.</param>
/// <param name="SkippedEvaluation">Rows of the evaluation that give none.</param>
/// <param name="Loss">What it minimises.</param>
internal sealed record TrainingSet(
    IReadOnlyList<Core.Example> Examples,
    IReadOnlyList<Core.Example> Evaluation,
    int Skipped,
    int SkippedEvaluation,
    Func<Core.Batch, Core.Parameters, torch.Tensor> Loss)
{
    /// <summary>Rows with prompts and completions: the loss of their scored tokens.</summary>
    public static TrainingSet OfLanguage(
        Core.Transformer model, AttachedReft start, RowEncoder encoder, TrainingOptions options, TrainingData data)
    {
        var maxLength = options.MaxLength ?? model.Config.Context;
        var numbers = new Dictionary<Core.Example, int>(ReferenceEqualityComparer.Instance as IEqualityComparer<Core.Example>);
        var (training, skipped) = Scored(data);
        var (evaluating, skippedEvaluation) = options.EvaluationData is { } rows ? Scored(rows) : ([], 0);
        if (training.Count == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var plain = new SourceRuns(data.Sources).Loss(start.Spec, model, Numbered(training));
        var evaluated = new SourceRuns(options.EvaluationData?.Sources ?? []).Loss(start.Spec, model, Numbered(evaluating));
        return new TrainingSet(training, evaluating, skipped, skippedEvaluation, Apart(options, plain, evaluated, evaluating));

        (IReadOnlyList<Core.Example> Scored, int Skipped) Scored(TrainingData data)
        {
            if (data.Rows is IStreamedRows)
            {
                var streamed = StreamedExamples.Of(data.Count, row => Encode(data.Rows[row], row));
                return (streamed, data.Count - streamed.Count);
            }

            var scored = data.Rows.Select((row, i) => (Example: Encode(row, i), Row: i)).Where(pair => pair.Example.ScoredCount > 0).ToArray();
            foreach (var (example, row) in scored.Where(_ => data.Sources.Count > 0))
            {
                numbers.Add(example, row);
            }

            return (Array.ConvertAll(scored, pair => pair.Example), data.Count - scored.Length);
        }

        Core.Example Encode(DataRow row, int index) =>
            Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, index));

        // Only rows in memory have sources.
        IEnumerable<(Core.Example Example, int Row)> Numbered(IReadOnlyList<Core.Example> examples) =>
            examples.Select(example => (example, numbers[example]));
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
        return new TrainingSet(Examples(data.Rows), held, 0, 0, Apart(options, loss, loss, held));

        IReadOnlyList<Core.Example> Examples(IReadOnlyList<LabelledRow> rows) =>
            rows is IStreamedRows
                ? StreamedExamples.Of(rows.Count, row => Encode(rows[row], row))
                : [.. rows.Select(Encode)];

        Core.Example Encode(LabelledRow row, int index) => encoder.EncodeRow(row, index, maxLength, targets.Of(row, index));
    }

    // Rows that are evaluated read sources of their own, and no penalty is added to their loss.
    private static Func<Core.Batch, Core.Parameters, torch.Tensor> Apart(
        TrainingOptions options,
        Func<Core.Batch, Core.Parameters, torch.Tensor> plain,
        Func<Core.Batch, Core.Parameters, torch.Tensor> evaluated,
        IReadOnlyList<Core.Example> evaluation)
    {
        var trained = options.Penalty?.AddTo(plain) ?? plain;
        Func<Core.Example, bool> isHeld = evaluation is StreamedExamples streamed
            ? streamed.Made
            : evaluation.ToHashSet<object>(ReferenceEqualityComparer.Instance).Contains;
        return (batch, theta) => (isHeld(batch.Examples[0]) ? evaluated : trained)(batch, theta);
    }
}
