using System.Globalization;

namespace Reft.Cli;

/// <summary>Completions that are preferred to others.</summary>
internal sealed class PreferenceTask(PreferenceData data, PreferenceData? heldOut, PreferenceOptions preference) : TrainingTask
{
    public override int RowCount => data.Count;

    public override int? HeldOutCount => heldOut?.Count;

    public override IReadOnlyList<string> Metrics =>
        preference.Method == PreferenceMethod.Reps
            ? ["loss", "accuracy", "suppression", "margin"]
            : ["loss", "accuracy", "margin", "chosen_reward", "rejected_reward"];

    public override HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop)
    {
        var found = model.EvaluatePreference(heldOut!, preference, options.BatchSize, options.MaxLength, stop);
        return new HeldOutScore(found.Loss, found.Accuracy);
    }

    public override Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop) =>
        model.FitPreferenceAsync(data, preference, options, heldOut, progress, stop);

    public override IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize) =>
        Completions.Of(
            model,
            (heldOut ?? data).Rows.Take(count).Where(row => row.Prompt is not null).Select(
                row => new DataRow { Prompt = row.Prompt, Completion = row.Chosen, Source = row.Source }),
            batchSize);

    public override HeldOutScore? After(
        ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop) =>
        heldOut is null ? null : Measure(model, options, stop);
}

/// <summary>A number that ranks completions.</summary>
internal sealed class RewardTask(PreferenceData data, PreferenceData? heldOut, RewardOptions reward, long seed) : TrainingTask
{
    public override int RowCount => data.Count;

    public override int? HeldOutCount => heldOut?.Count;

    public override IReadOnlyList<string> Metrics { get; } = ["loss", "accuracy", "margin", "chosen_reward", "rejected_reward"];

    public override void Prepare(ReftModel model)
    {
        model.AttachClassifier(new ClassifierOptions { Problem = ClassifierProblem.Regression, Seed = seed });
        Terminal.Say($"reward head: {model.Classifier}");
    }

    public override HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop)
    {
        var found = model.EvaluateReward(heldOut!, options.BatchSize, options.MaxLength, stop);
        return new HeldOutScore(found.Loss, found.Accuracy);
    }

    public override Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop) =>
        model.FitRewardAsync(data, reward, options, heldOut, progress, stop);

    // The rewards of both completions stand for an answer.
    public override IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize)
    {
        PreferenceRow[] rows =
        [
            .. (heldOut ?? data).Rows.Take(count).Where(row => row is { Prompt: not null, Chosen: not null, Rejected: not null }),
        ];
        if (rows is [])
        {
            return [];
        }

        var (chosen, rejected) = (Of(row => row.Chosen), Of(row => row.Rejected));
        return
        [
            .. rows.Select((row, i) => new TrainingSample
            {
                Input = $"{row.Prompt} [{row.Chosen} | {row.Rejected}]",
                Expected = "the first reward is the greater",
                After = string.Create(CultureInfo.InvariantCulture, $"{chosen[i]:0.000} | {rejected[i]:0.000}"),
            }),
        ];

        IReadOnlyList<double> Of(Func<PreferenceRow, string?> completion) =>
            [.. model.Rewards([.. rows.Select(row => new DataRow { Prompt = row.Prompt, Completion = completion(row) })])];
    }

    public override HeldOutScore? After(
        ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop) =>
        heldOut is null ? null : Measure(model, options, stop);
}

/// <summary>The next-token probabilities of a teacher.</summary>
/// <param name="data">The rows.</param>
/// <param name="heldOut">Rows that are only measured.</param>
/// <param name="distillation">How the teacher is followed.</param>
/// <param name="load">The student's folder → the teacher.</param>
internal sealed class DistillationTask(
    TrainingData data, TrainingData? heldOut, DistillationOptions distillation, Func<string, ReftModel> load) : TrainingTask
{
    private ReftModel? _teacher;

    public override int RowCount => data.Count;

    public override int? HeldOutCount => heldOut?.Count;

    public override IReadOnlyList<string> Metrics { get; } = ["loss", "kl", "language"];

    public override void Prepare(ReftModel model) => _teacher = load(model.Config.Folder);

    public override HeldOutScore Measure(ReftModel model, TrainingOptions options, CancellationToken stop) =>
        new(model.EvaluateDistillation(heldOut!, _teacher!, distillation, options.BatchSize, options.MaxLength, stop).Loss);

    public override Task<TrainingResult> FitAsync(
        ReftModel model, TrainingOptions options, IProgress<TrainingProgress> progress, CancellationToken stop) =>
        model.FitDistillationAsync(data, _teacher!, distillation, options with { EvaluationData = heldOut }, progress, stop);

    public override IReadOnlyList<TrainingSample> Answer(ReftModel model, int count, int batchSize) =>
        Completions.Of(model, (heldOut ?? data).Rows.Take(count), batchSize);

    public override HeldOutScore? After(
        ReftModel model, TrainingOptions options, TrainingResult result, CancellationToken stop) =>
        heldOut is null ? null
        : result is { Best: null, EvaluationLoss: { } loss } ? new(loss)
        : Measure(model, options, stop);

    public override void Dispose()
    {
        _teacher?.Dispose();
        base.Dispose();
    }
}
