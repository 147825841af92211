using System.CommandLine;

namespace Reft.Cli;

/// <summary>What a held-out measurement gives.</summary>
/// <param name="Loss">The mean loss.</param>
/// <param name="Accuracy">The share of right labels, of labelled rows.</param>
internal sealed record HeldOutScore(double Loss, double? Accuracy = null)
{
    /// <summary>F1, of labelled rows.</summary>
    public double? F1 { get; init; }

    /// <summary>Matthews' correlation, of rows with one label each.</summary>
    public double? Matthews { get; init; }

    /// <summary>Pearson's correlation, of a regression.</summary>
    public double? Pearson { get; init; }

    /// <summary>Spearman's, of a regression.</summary>
    public double? Spearman { get; init; }
}

/// <summary>What <c>reft train</c> trains for: its rows, and how they are learnt and measured.</summary>
internal abstract class TrainingTask : IDisposable
{
    /// <summary>The number of rows.</summary>
    public abstract int RowCount { get; }

    /// <summary>The number of held-out rows; null where there are none.</summary>
    public abstract int? HeldOutCount { get; }

    /// <summary>What an evaluation of the held-out rows gives.</summary>
    public abstract IReadOnlyList<string> Metrics { get; }

    /// <summary>Readies a model with a spec.</summary>
    public virtual void Prepare(ReftModel model)
    {
    }

    /// <summary>Measures the held-out rows.</summary>
    public abstract HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop);

    /// <summary>Trains.</summary>
    public abstract Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop);

    /// <summary>What the model says of the first rows, the held-out ones where there are any, as <c>After</c>.</summary>
    public abstract IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize);

    /// <summary>What the held-out rows give after a run that was not stopped.</summary>
    public abstract HeldOutScore? After(ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop);

    /// <summary>Frees what it holds besides its rows.</summary>
    public virtual void Dispose()
    {
    }
}

/// <summary>Completions of prompts.</summary>
internal sealed class LanguageTask(TrainingData data, TrainingData? heldOut) : TrainingTask
{
    public override int RowCount => data.Count;

    public override int? HeldOutCount => heldOut?.Count;

    public override IReadOnlyList<string> Metrics { get; } = ["loss"];

    public override HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop) =>
        new(model.Evaluate(heldOut!, options.BatchSize, options.MaxLength, stop));

    public override Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop) =>
        model.FitAsync(data, options with { EvaluationData = heldOut }, progress, stop);

    public override HeldOutScore? After(
        ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop) =>
        heldOut is null ? null
        : result is { Best: null, EvaluationLoss: { } loss } ? new(loss)
        : Measure(model, options, stop);

    public override IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize) =>
        Completions.Of(model, (heldOut ?? data).Rows.Take(count), batchSize);
}

/// <summary>Labels or numbers of whole rows.</summary>
/// <param name="data">The rows.</param>
/// <param name="heldOut">Rows that are only measured.</param>
/// <param name="problem">What is predicted.</param>
/// <param name="labels">The labels; those of the rows where they are not given.</param>
/// <param name="training">What of the head is trained; where it is not given, all of a fresh one.</param>
/// <param name="seed">The seed of a fresh head.</param>
internal sealed class LabelTask(
    ClassificationData data,
    ClassificationData? heldOut,
    ClassifierProblem problem,
    IReadOnlyList<string>? labels,
    ClassifierTraining? training,
    long seed) : TrainingTask
{
    public override int RowCount => data.Count;

    public override int? HeldOutCount => heldOut?.Count;

    public override IReadOnlyList<string> Metrics { get; } =
        problem switch
        {
            ClassifierProblem.SingleLabel => ["loss", "accuracy", "f1", "matthews"],
            ClassifierProblem.MultiLabel => ["loss", "accuracy", "f1"],
            _ => ["loss", "pearson", "spearman"],
        };

    // Decided before the first run: the head that a run attaches is not the folder's own.
    private bool? _own;

    // The head of the model's folder serves where it is for the same problem and no other labels are asked for.
    public override void Prepare(ReftModel model)
    {
        _own ??= labels is null && model.Classifier is { } head && head.Problem == problem;
        if (_own == true)
        {
            model.UseOwnClassifier(training ?? ClassifierTraining.Frozen);
        }
        else
        {
            var fresh = labels is null
                ? data.ToClassifier(problem)
                : new ClassifierOptions { Problem = problem, Labels = labels };
            model.AttachClassifier(fresh with { Training = training ?? ClassifierTraining.Classifier, Seed = seed });
        }

        Terminal.Say($"classification head: {model.Classifier}");
    }

    public override HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop)
    {
        var found = model.EvaluateClassifier(heldOut!, options.BatchSize, options.MaxLength, stop);
        return new HeldOutScore(found.Loss, found.Accuracy)
        {
            F1 = found.F1,
            Matthews = found.Matthews,
            Pearson = found.Pearson,
            Spearman = found.Spearman,
        };
    }

    public override Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop) =>
        model.FitClassifierAsync(data, options, heldOut, progress, stop);

    public override HeldOutScore? After(
        ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop) =>
        heldOut is null ? null : Measure(model, options, stop);

    public override IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize)
    {
        var rows = (heldOut ?? data).Rows.Take(count).ToArray();
        return
        [
            .. model.Classify(rows, batchSize).Zip(rows, (answer, row) => new TrainingSample
            {
                Input = row.Text is { } text
                    ? string.Join('\n', new[] { text, row.TextPair }.OfType<string>())
                    : string.Join(' ', row.InputIds ?? []),
                Expected = row.Label ?? (row.Labels is { } several ? string.Join(", ", several) : Shown(row.Value)),
                After = answer.Label ?? Shown(answer.Value) ?? string.Join(", ", answer.Labels),
            }),
        ];

        static string? Shown(double? value) => value?.ToString("0.####", System.Globalization.CultureInfo.InvariantCulture);
    }
}

/// <summary>The options that say what is trained for.</summary>
internal static class TaskOptions
{
    private const string Language = "language";

    public static readonly Option<string?> Task = TaskOption();

    public static readonly Option<string?> Labels = Values.Text(
        "--labels", "A,B,C", "The labels of a classification, in the order of the outputs; those of the rows where they are not given.");

    public static readonly Option<string?> Head = HeadOption();

    /// <summary>The rows that a command line names, and what is learnt of them.</summary>
    /// <exception cref="ArgumentException">Options that do not belong together.</exception>
    public static TrainingTask Read(ParseResult parsed, string data, string? heldOut, long seed)
    {
        var labels = parsed.GetValue(Labels)?.Split(',', StringSplitOptions.TrimEntries);
        var training = parsed.GetValue(Head) switch
        {
            "frozen" => ClassifierTraining.Frozen,
            "classifier" => ClassifierTraining.Classifier,
            "whole" => ClassifierTraining.Whole,
            _ => (ClassifierTraining?)null,
        };
        var rows = RowOptions.Read(parsed);
        var problem = ProblemOf(parsed.GetValue(Task));
        if (problem is { } labelled)
        {
            if (labelled == ClassifierProblem.Regression && labels is not null)
            {
                throw new ArgumentException("--labels: a regression has none");
            }

            return new LabelTask(
                ClassificationData.FromFile(data, rows),
                heldOut is null ? null : ClassificationData.FromFile(heldOut, rows),
                labelled,
                labels,
                training,
                seed);
        }

        return labels is null && training is null
            ? new LanguageTask(TrainingData.FromFile(data, rows), heldOut is null ? null : TrainingData.FromFile(heldOut, rows))
            : throw new ArgumentException("--labels and --head belong to --task classification, multi-label or regression");
    }

    /// <summary>What a task predicts of whole rows; null where it is another one.</summary>
    public static ClassifierProblem? ProblemOf(string? task) =>
        task switch
        {
            "classification" => ClassifierProblem.SingleLabel,
            "multi-label" => ClassifierProblem.MultiLabel,
            "regression" => ClassifierProblem.Regression,
            _ => null,
        };

    private static Option<string?> TaskOption()
    {
        var option = Values.Text(
            "--task",
            "language|classification|multi-label|regression",
            "What is learnt: completions of prompts, one label of each row, any of several labels, or a number.");
        option.DefaultValueFactory = _ => Language;
        option.AcceptOnlyFromAmong(Language, "classification", "multi-label", "regression");
        return option;
    }

    private static Option<string?> HeadOption()
    {
        var option = Values.Text(
            "--head",
            "frozen|classifier|whole",
            "What of the classification head is trained; the head of the model's own folder is frozen where it is not given, a fresh one trained.");
        option.AcceptOnlyFromAmong("frozen", "classifier", "whole");
        return option;
    }
}
