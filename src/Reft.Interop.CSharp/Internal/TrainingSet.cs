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
    /// <summary>The rows on which edits are measured; null where none are to be.</summary>
    public EditProbe? Probe { get; init; }

    /// <summary>What the loss is, in words: a run goes on with the same one only.</summary>
    public string Objective { get; init; } = "next token";

    /// <summary>The metrics that an evaluation gives.</summary>
    public IReadOnlyList<string> Metrics { get; init; } = ["loss"];

    /// <summary>Their values at parameters, where they are more than the mean loss of the evaluated examples.</summary>
    public Func<Core.Parameters, double[]>? Evaluate { get; init; }

    /// <summary>Rows with prompts and completions: the loss of their scored tokens.</summary>
    public static TrainingSet OfLanguage(
        Core.Transformer model, AttachedReft start, RowEncoder encoder, TrainingOptions options, TrainingData data)
    {
        var maxLength = options.MaxLength ?? model.Config.Context;
        var (training, skipped) = Scored(First(options, data.Rows));
        var (evaluating, skippedEvaluation) = Scored(options.EvaluationData?.Rows ?? []);
        if (training.Length == 0)
        {
            throw new ArgumentException(
                data.Count == 0
                    ? "the dataset is empty: expected at least one row to train on"
                    : $"none of the {data.Count} rows has a scored token within {maxLength} tokens, so there is nothing to learn: raise MaxLength or check the labels",
                nameof(data));
        }

        var plain = new SourceRuns(data.Sources).Loss(start.Spec, model, training);
        var evaluated = new SourceRuns(options.EvaluationData?.Sources ?? []).Loss(start.Spec, model, evaluating);
        return new TrainingSet(
            Examples(training), Examples(evaluating), skipped, skippedEvaluation, Apart(options, plain, evaluated, Examples(evaluating)))
        {
            Objective = string.Join(", with ", ["next token", .. data.Sources.Select(source => source.Name)]),
            Probe = Probed(),
        };

        EditProbe? Probed()
        {
            var (rows, sources) = evaluating.Length > 0
                ? (evaluating, options.EvaluationData?.Sources ?? [])
                : (training, data.Sources);
            return ProbeOf(options, new SourceRuns(sources).Tuned(start.Spec, model, rows), Examples(rows));
        }

        ((Core.Example Example, int Row)[] Scored, int Skipped) Scored(IReadOnlyList<DataRow> rows)
        {
            var examples = rows
                .Select((row, i) => (Example: Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, i)), i))
                .Where(pair => pair.Example.ScoredCount > 0)
                .ToArray();
            return (examples, rows.Count - examples.Length);
        }

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
        var spec = attached?.Spec ?? [];
        var training = Examples(First(options, data.Rows));
        return new TrainingSet(training, held, 0, 0, Apart(options, loss, loss, held))
        {
            Probe = ProbeOf(options, Core.TunedModule.reft(spec, model), held.Length > 0 ? held : training),
            Objective = $"{classifier.Task.Problem}: {string.Join(", ", classifier.Task.Labels)}",
            Metrics = ["loss", classifier.Task.Problem.IsRegression ? "pearson" : "accuracy"],
            Evaluate = theta =>
            {
                using var bound = spec.IsEmpty ? null : Core.Reft.bind(spec, theta);
                var found = Core.Classify.evaluate(
                    (bound is null ? (Core.BoundReft[])[] : [bound]).ToFSharpList(),
                    Core.ClassifierModule.withParameters(theta, classifier),
                    model,
                    held.Chunk(options.BatchSize).Select(rows => Core.BatchModule.create(Core.PaddingSide.Right, rows.ToFSharpList())));
                return [found.Loss, (classifier.Task.Problem.IsRegression ? found.Pearson : found.Accuracy).ToNullable() ?? double.NaN];
            },
        };

        Core.Example[] Examples(IReadOnlyList<LabelledRow> rows) =>
            [.. rows.Select((row, i) => encoder.EncodeRow(row, i, maxLength, targets.Of(row, i)))];
    }

    private static EditProbe? ProbeOf(TrainingOptions options, Core.Tuned tuned, Core.Example[] rows) =>
        options.Logging is { EditNormsEvery: not null } logging
            ? new EditProbe(tuned, [.. rows.Take(logging.EditNormRows)], options.BatchSize)
            : null;

    private static IReadOnlyList<T> First<T>(TrainingOptions options, IReadOnlyList<T> rows) =>
        options.MaxExamples is { } most && most < rows.Count ? [.. rows.Take(most)] : rows;

    // Rows that are evaluated read sources of their own, and no penalty is added to their loss.
    private static Func<Core.Batch, Core.Parameters, torch.Tensor> Apart(
        TrainingOptions options,
        Func<Core.Batch, Core.Parameters, torch.Tensor> plain,
        Func<Core.Batch, Core.Parameters, torch.Tensor> evaluated,
        Core.Example[] evaluation)
    {
        var trained = options.Penalty?.AddTo(plain) ?? plain;
        var held = evaluation.ToHashSet<object>(ReferenceEqualityComparer.Instance);
        return (batch, theta) => (held.Contains(batch.Examples[0]) ? evaluated : trained)(batch, theta);
    }
}
