using Microsoft.FSharp.Core;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    private Core.Classifier? _classifier;

    /// <summary>The classification head; null where there is none. A folder of a classifier brings one, which is frozen.</summary>
    public ClassifierDescription? Classifier => _classifier is { } classifier ? DescriptionOf(classifier) : null;

    /// <summary>Gives the model a fresh classification head, in place of what it has.</summary>
    /// <param name="options">Its problem and labels; <see cref="ClassificationData.ToClassifier"/> finds those of rows.</param>
    /// <returns>This model.</returns>
    /// <exception cref="ArgumentException">
    /// There are too few labels, or one twice; or the head would be drawn at random and never trained.
    /// </exception>
    public ReftModel AttachClassifier(ClassifierOptions options)
    {
        using var work = _gate.Change();
        using var scope = torch.NewDisposeScope();
        NeedUnstacked(DetachFirst);
        var regression = options.Problem == ClassifierProblem.Regression;
        if (regression && options.Labels.Count > 1)
        {
            throw new ArgumentException(
                $"expected a regression of one number, found {options.Labels.Count} labels: leave them out", nameof(options));
        }

        var task = regression && options.Labels.Count == 0
            ? Core.SequenceTaskModule.regression
            : Core.SequenceTaskModule.create(options.Problem.ToCore(), options.Labels.ToFSharpList());
        Replace(Core.Checkpoint.freshClassifier(
            options.Training.ToCore(), task, Core.RngModule.ofSeed(options.Seed), _loaded));
        return this;
    }

    /// <summary>Gives the model the classification head that its folder brings, in place of what it has.</summary>
    /// <param name="training">What of it is trained with the interventions.</param>
    /// <returns>This model.</returns>
    /// <exception cref="InvalidOperationException">The folder's model has no classification head.</exception>
    public ReftModel UseOwnClassifier(ClassifierTraining training)
    {
        using var work = _gate.Change();
        using var scope = torch.NewDisposeScope();
        NeedUnstacked(DetachFirst);
        Replace(Core.Checkpoint.classifier(training.ToCore(), _loaded).ValueOrNull() ?? throw new InvalidOperationException(
            $"the {Config.Family} model of {_loaded.Folder} has no classification head: give it one with AttachClassifier"));
        return this;
    }

    /// <summary>
    /// Trains what is attached together with the classification head, from the parameters they have, on a thread of its
    /// own. Nothing else may use the model meanwhile. A model without a head gets the one that suits the rows.
    /// </summary>
    /// <param name="data">The labelled rows.</param>
    /// <param name="options">How to train. Its rows for evaluation are those of a language model: give labelled ones apart.</param>
    /// <param name="evaluation">Labelled rows that are only evaluated.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">
    /// Ends the run before its next step. That is no error: the model keeps the parameters of the last step, or the best where
    /// <see cref="TrainingOptions.BestModel"/> asks for them, and the result says <see cref="TrainingResult.Cancelled"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">There is nothing to train, or the model is in use.</exception>
    /// <exception cref="ArgumentException">An option is out of range, or there is no row to learn from.</exception>
    /// <exception cref="InvalidDataException">
    /// A row is not one to train on: the message names it and its field. Or the checkpoints are of another run, or damaged.
    /// </exception>
    /// <exception cref="IOException">A checkpoint cannot be written, or would replace a run that was broken off.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitClassifierAsync(
        ClassificationData data,
        TrainingOptions? options = null,
        ClassificationData? evaluation = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new TrainingOptions();
        TrainingRun.Check(options, Config.ContextLength);
        if (options.EvaluationData is not null)
        {
            throw new ArgumentException(
                "EvaluationData holds rows of a language model: give labelled rows as 'evaluation'", nameof(options));
        }

        NeedTrainable();
        if (_classifier is null)
        {
            AttachClassifier(data.ToClassifier());
        }

        return RunFit(
            options,
            () =>
            {
                var classifier = NeededClassifier();
                RefuseProbe();
                var theta = Together(classifier);
                var tuned = Tuned();
                if (theta.TrainableCount == 0)
                {
                    throw new InvalidOperationException(
                        "there is nothing to train: attach a spec with Attach, or let the head be trained with UseOwnClassifier or AttachClassifier");
                }

                return new FitPlan(
                    Subject(theta, classifier.Parameters.TrainableCount),
                    () => Prepare(options, tuned, steps => TrainingSet.OfLabels(steps, classifier, _encoder, options, data, evaluation)),
                    reached => Keep(reached, classifier));
            },
            progress,
            cancellationToken);
    }

    /// <summary>How well labelled rows are predicted, with what is attached.</summary>
    /// <param name="data">The rows.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <param name="maxLength">Longer rows are cut as in training; the model's context where it is not given.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">The model has no classification head.</exception>
    /// <exception cref="ArgumentException">There is no row.</exception>
    /// <exception cref="InvalidDataException">A row has no label of the head's: the message names it and its field.</exception>
    public ClassifierEvaluation EvaluateClassifier(
        ClassificationData data, int batchSize = 8, int? maxLength = null, CancellationToken cancellationToken = default)
    {
        CheckBatchSize(batchSize);
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        var classifier = NeededClassifier();
        var targets = new RowTargets(classifier.Task);
        var batches = data.Rows
            .Select((row, i) => _encoder.EncodeRow(row, i, maxLength ?? Config.ContextLength, targets.Of(row, i)))
            .Chunk(batchSize)
            .Select(chunk =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                return Core.BatchModule.create(Core.PaddingSide.Right, chunk.ToFSharpList());
            });
        var found = Core.Classify.evaluate(Bound(), classifier, Model, batches);
        return new ClassifierEvaluation
        {
            Rows = found.Rows,
            Loss = found.Loss,
            Accuracy = found.Accuracy.ToNullable(),
            F1 = found.F1.ToNullable(),
            Matthews = found.Matthews.ToNullable(),
            Pearson = found.Pearson.ToNullable(),
            Spearman = found.Spearman.ToNullable(),
        };
    }

    /// <summary>What the model predicts of rows, in order and lazily: a batch is computed when its first row is asked for.</summary>
    /// <param name="rows">The rows; their labels are not read. Longer ones are cut to the model's context.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <exception cref="InvalidOperationException">The model has no classification head.</exception>
    /// <exception cref="InvalidDataException">A row has no text and no ids, or ids that the model has not.</exception>
    public IEnumerable<Classification> Classify(IEnumerable<LabelledRow> rows, int batchSize = 8) =>
        Classify(rows, batchSize, Config.ContextLength);

    /// <summary>What the model predicts of a text, or of two.</summary>
    /// <exception cref="InvalidOperationException">The model has no classification head.</exception>
    /// <exception cref="InvalidDataException">The model has no tokenizer.</exception>
    public Classification Classify(string text, string? textPair = null) =>
        Classify([new LabelledRow { Text = text, TextPair = textPair }]).Single();

    /// <summary>The number that a regression predicts of a text, or of two.</summary>
    /// <exception cref="InvalidOperationException">The model has no classification head, or one for labels.</exception>
    /// <exception cref="InvalidDataException">The model has no tokenizer.</exception>
    public double Regress(string text, string? textPair = null) =>
        NeededClassifier().Task.Problem.IsRegression
            ? Classify(text, textPair).Value!.Value
            : throw new InvalidOperationException("the model's head predicts labels and no number: use Classify");

    /// <summary>The same with rows cut as <see cref="EvaluateClassifier"/> cuts them.</summary>
    internal IEnumerable<Classification> Classify(IEnumerable<LabelledRow> rows, int batchSize, int maxLength)
    {
        CheckBatchSize(batchSize);
        NeededClassifier();
        return rows.Chunk(batchSize).SelectMany((chunk, number) => ClassifyBatch(chunk, number * batchSize, maxLength));
    }

    /// <summary>How many rows are longer than so many tokens, and are cut.</summary>
    internal int CountCut(IEnumerable<LabelledRow> rows, int maxLength) =>
        rows.Where((row, i) => _encoder.EncodeRow(row, i, int.MaxValue, null).Ids.Length > maxLength).Count();

    private Classification[] ClassifyBatch(LabelledRow[] rows, int first, int maxLength)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        var classifier = NeededClassifier();
        var examples = rows.Select((row, i) => _encoder.EncodeRow(row, first + i, maxLength, null));
        var batch = Core.BatchModule.create(Core.PaddingSide.Right, examples.ToFSharpList());
        return [.. Core.Classify.logits(Bound(), classifier, Model, batch).Select(
            (logits, i) => Predicted(classifier.Task, Finite(logits, rows[i].Source ?? $"row {first + i}")))];
    }

    private static float[] Finite(float[] logits, string source) =>
        Array.TrueForAll(logits, float.IsFinite)
            ? logits
            : throw new InvalidDataException(
                $"{source}: the head gives numbers that are not finite: the weights, or the adapter's, are damaged or do not fit the dtype");

    private static Classification Predicted(Core.SequenceTask task, float[] logits)
    {
        var scores = Core.Classify.scores(task.Problem, logits);
        if (task.Problem.IsRegression)
        {
            return new Classification { Value = scores[0], Labels = [], Scores = [] };
        }

        int[] labels = Core.Classify.predicted(task.Problem, logits) switch
        {
            Core.RowTarget.Label one => [one.Item],
            Core.RowTarget.Labels several => [.. several.Item],
            _ => [],
        };
        return new Classification
        {
            Label = task.Problem.IsSingleLabel ? task.Labels[labels[0]] : null,
            Labels = [.. labels.Select(label => task.Labels[label])],
            Scores = [.. task.Labels.Zip(scores, (label, score) => new LabelScore(label, score))],
        };
    }

    private Core.Classifier NeededClassifier() =>
        _classifier ?? throw new InvalidOperationException(
            "the model has no classification head: give it one with AttachClassifier or FitClassifierAsync, or load an adapter that has one");

    private void Keep(Core.Parameters reached, Core.Classifier classifier)
    {
        Keep(reached);
        Replace(Core.ClassifierModule.withParameters(reached, classifier));
        Core.ParametersModule.dispose(new(reached.Entries.Where(p => classifier.Parameters.TryFind(p.Name).HasValue())));
    }

    private void RefuseProbe()
    {
        if (_tuned?.Tuning.Form.Equals(Core.LastLayer.create.Form) == true)
        {
            throw new InvalidOperationException(
                "a probe of the last layer trains the language model's head, which a classification head does not read: attach nothing, and the classification head alone is trained");
        }
    }

    // Keeps a copy of the parameters.
    private void Replace(Core.Classifier? classifier) => Take(Kept(classifier));

    // A copy that no scope owns.
    private Core.Classifier? Kept(Core.Classifier? classifier) => classifier is null
        ? null
        : new Core.Classifier(classifier.Task, classifier.Head, AttachedReft.Kept(classifier.Parameters, _loaded.Model.Device));

    private void Take(Core.Classifier? kept)
    {
        if (_classifier is { } old)
        {
            Core.ParametersModule.dispose(old.Parameters);
        }

        _classifier = kept;
    }

    // What the folder brings, if anything: as it is, until training it is asked for.
    private void UseOwnHead()
    {
        using var scope = torch.NewDisposeScope();
        Replace(OwnHead());
    }

    private Core.Classifier? OwnHead() => Core.Checkpoint.classifier(Core.HeadTraining.Frozen, _loaded).ValueOrNull();

    private static ClassifierDescription DescriptionOf(Core.Classifier classifier) =>
        new(
            classifier.Task.Problem.ToFacade(),
            [.. classifier.Task.Labels],
            classifier.Parameters.Entries.Sum(p => p.Value.numel()),
            classifier.Parameters.TrainableCount);
}
