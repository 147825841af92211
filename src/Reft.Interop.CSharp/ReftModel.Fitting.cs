using Reft.Internal;

namespace Reft;

public sealed partial class ReftModel
{
    // A run that has the model for itself, on a thread of its own.
    private Task<TrainingResult> RunFit(
        TrainingOptions options,
        Func<FitPlan> plan,
        IProgress<TrainingProgress>? progress,
        CancellationToken cancellationToken)
    {
        TrainingRun.Check(options, Config.ContextLength);
        var work = _gate.Change();
        try
        {
            var (subject, prepare, keep) = plan();
            return DedicatedThread.Run("reft-fit", () =>
            {
                using (work)
                {
                    using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _gate.Closing);
                    return new TrainingRun(subject, options, progress, _logger, stop.Token).Run(prepare, keep);
                }
            });
        }
        catch
        {
            work.Dispose();
            throw;
        }
    }

    // What is attached is trained, and replaced by what the run reached.
    private FitPlan PlanOfAttached(Func<TrainingSet> prepare) => new(Subject(AttachedParameters(), 0), prepare, Keep);

    // The same on pairs. The loss's options are refused before the run has a thread.
    private FitPlan PlanOfPairs(
        TrainingOptions options, PreferenceData data, PreferenceData? evaluation, Func<Core.Tuned, MeasuredLoss> loss)
    {
        var attached = Tuned();
        loss(attached);
        return PlanOfAttached(() => Prepare(
            options,
            attached,
            steps => PairSet.ToTrain(
                _encoder, LengthOf(options), whole: false, options, data, evaluation, loss(steps.Tuned))));
    }

    private TrainingSet Prepare(TrainingOptions options, Core.Tuned tuned, Func<ModelSteps, TrainingSet> prepare) =>
        ModelSteps.Prepare(options, tuned, _loaded.Model, _tuned?.Tuning.Form.ToString(), prepare);

    private int LengthOf(TrainingOptions options) => options.MaxLength ?? Config.ContextLength;

    /// <summary>What a run starts from, works on and leaves.</summary>
    private sealed record FitPlan(
        TrainingSubject Subject, Func<TrainingSet> Prepare, Action<Core.Parameters> Keep);
}
