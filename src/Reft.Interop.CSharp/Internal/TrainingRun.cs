using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>One training run: rows → examples → steps, with clocks, and the last good parameters whatever happens.</summary>
/// <param name="subject">What is trained.</param>
/// <param name="options">How to train.</param>
/// <param name="progress">Told after each step.</param>
/// <param name="logger">The application's.</param>
/// <param name="cancel">Looked at before each step.</param>
internal sealed class TrainingRun(
    TrainingSubject subject,
    TrainingOptions options,
    IProgress<TrainingProgress>? progress,
    ILogger logger,
    CancellationToken cancel)
{
    private const long MostRowsOfStep = 1_000_000_000;

    private readonly Stopwatch _clock = new();
    private readonly List<TrainingProgress> _history = [];
    private long _tokens;
    private torch.Tensor? _lastGood;

    /// <summary>Refuses options that Core does not see, or sees only after the rows were read.</summary>
    public static void Check(TrainingOptions options, int context)
    {
        Positive(options.Epochs, nameof(options.Epochs));
        Positive(options.BatchSize, nameof(options.BatchSize));
        Positive(options.GradientAccumulation, nameof(options.GradientAccumulation));
        Positive(options.MaxSteps ?? 1, nameof(options.MaxSteps));
        Positive(options.EvaluateEvery ?? 1, nameof(options.EvaluateEvery));
        Positive(options.Logging?.EditNormsEvery ?? 1, "Logging.EditNormsEvery");
        Positive(options.Logging?.EditNormRows ?? 1, "Logging.EditNormRows");
        var rows = (long)options.BatchSize * options.GradientAccumulation;
        Within(rows <= MostRowsOfStep, "BatchSize · GradientAccumulation", $"{MostRowsOfStep} or less", rows);
        Within(options.LearningRate > 0 && double.IsFinite(options.LearningRate), nameof(options.LearningRate), "a positive number", options.LearningRate);
        Within(options.WarmupRatio is >= 0 and <= 1, nameof(options.WarmupRatio), "0 … 1", options.WarmupRatio);
        Within(options.WeightDecay >= 0 && double.IsFinite(options.WeightDecay), nameof(options.WeightDecay), "a finite number of 0 or more", options.WeightDecay);
        Within(options.MaxGradientNorm is null or > 0, nameof(options.MaxGradientNorm), "a positive number or null", options.MaxGradientNorm);
        Within(
            options.MaxLength is null || (options.MaxLength >= 2 && options.MaxLength <= context),
            nameof(options.MaxLength),
            $"2 … {context}, the model's context",
            options.MaxLength);

        static void Positive(int value, string name) => Within(value >= 1, name, "1 or more", value);

        static void Within(bool holds, string name, string expected, object? found)
        {
            if (!holds)
            {
                throw new ArgumentException($"expected {name} to be {expected}, found {found}", nameof(options));
            }
        }
    }

    /// <summary>Runs it, on the calling thread.</summary>
    /// <param name="prepare">Tokenises the rows.</param>
    /// <param name="keep">Receives the parameters that the run reached, also when it then fails; its own from then on.</param>
    public TrainingResult Run(Func<TrainingSet> prepare, Action<Core.Parameters> keep)
    {
        _clock.Start();
        var set = prepare();
        var examples = set.Examples;
        var rowsOfStep = (long)options.BatchSize * options.GradientAccumulation;
        var steps = options.Epochs * ((examples.Length + rowsOfStep - 1) / rowsOfStep);
        if (options.MaxSteps is null && steps > int.MaxValue)
        {
            throw new ArgumentException(
                $"{options.Epochs} epochs of {examples.Length} rows are {steps} steps, more than {int.MaxValue}: take fewer Epochs", nameof(prepare));
        }

        using var scope = torch.NewDisposeScope();
        using var watch = new TrainingWatch(subject, options, set, logger);
        watch.Begin([]);
        var state = Core.TrainStateModule.create(Core.RngModule.ofSeed(options.Seed), subject.Start);
        try
        {
            Action<Core.FitProgress, Core.FitState> report = (step, reached) => Report(watch, step, reached);
            var task = Core.FitTaskModule.create(set.Loss.ToFSharpFunc(), examples);
            if (set.Evaluation.Length > 0)
            {
                task = Core.FitTaskModule.holdingOut(Core.PaddingSide.Right, options.BatchSize, set.Evaluation, task);
            }

            task = Watched(task, watch);
            var result = Core.Fit.run(FitOptions(), task, report.ToFSharpFunc(), cancel, state);
            Core.FitStateModule.dispose(result.State);
            return new TrainingResult
            {
                History = _history,
                Cancelled = result.End.IsCancelled,
                TrainedRows = examples.Length,
                SkippedRows = set.Skipped,
                SkippedEvaluationRows = set.SkippedEvaluation,
                TrainableParameters = subject.Start.TrainableCount - subject.HeadParameters,
                HeadParameters = subject.HeadParameters,
                Log = watch.End(result.End.IsCancelled ? "cancelled" : result.End.IsEarlyStopped ? "early_stopped" : "completed", _clock.Elapsed),
                LogProblem = watch.Problem,
                Duration = _clock.Elapsed,
            };
        }
        catch (Core.TrainingDivergedException e)
        {
            watch.Fail(e, _clock.Elapsed);
            throw new DivergenceException(e.Step, e);
        }
        catch (Exception e)
        {
            watch.Fail(e, _clock.Elapsed);
            throw;
        }
        finally
        {
            Core.TrainStateModule.dispose(state);
            if (_lastGood is not null)
            {
                keep(Core.ParametersModule.keep(subject.Start.OfVector(_lastGood)));
                _lastGood.Dispose();
            }
        }
    }

    private static Core.FitTask Watched(Core.FitTask task, TrainingWatch watch)
    {
        if (task.Evaluate.ValueOrNull() is not { } evaluate)
        {
            return task;
        }

        Func<Core.Parameters, FSharpList<Tuple<string, double>>> watched = theta => watch.Evaluating(() => evaluate.Invoke(theta));
        return Core.FitTaskModule.evaluating(watched.ToFSharpFunc(), task);
    }

    private Core.FitOptions FitOptions()
    {
        var constants = Core.AdamW.defaults;
        return new Core.FitOptions(
            epochs: options.Epochs,
            maxSteps: options.MaxSteps.ToOption(),
            batchSize: options.BatchSize,
            accumulate: options.GradientAccumulation,
            weighting: Core.BatchWeighting.ByTerms,
            batching: Core.Batching.InOrder,
            learningRate: options.LearningRate,
            schedule: Core.ScheduleShape.Linear,
            warmup: Core.Warmup.NewRatio(options.WarmupRatio),
            adamW: new Core.AdamWOptions(constants.Beta1, constants.Beta2, constants.Epsilon, options.WeightDecay),
            clipNorm: options.MaxGradientNorm.ToOption(),
            nonFinite: Core.NonFinite.Stop,
            shuffle: options.Shuffle,
            padding: Core.PaddingSide.Right,
            evaluateEvery: options.EvaluateEvery is { } steps ? Core.Interval.NewSteps(steps) : Core.Interval.NewEpochs(1),
            selection: null);
    }

    private void Report(TrainingWatch watch, Core.FitProgress step, Core.FitState state)
    {
        // The next state replaces this one, and a failing step gives none: a copy survives both.
        _lastGood?.Dispose();
        _lastGood = state.Train.Theta.clone().DetachFromDisposeScope();

        _tokens += step.Report.Tokens;
        var elapsed = _clock.Elapsed;
        var taken = _history.Count + 1;
        var entry = new TrainingProgress
        {
            Step = step.Report.Step,
            TotalSteps = step.TotalSteps,
            Epoch = step.Epoch,
            Loss = step.Report.Loss,
            LearningRate = step.Report.LearningRate,
            GradientNorm = step.Report.GradientNorm,
            TokensPerSecond = _tokens / elapsed.TotalSeconds,
            Elapsed = elapsed,
            Remaining = elapsed / taken * (step.TotalSteps - taken),
            Skipped = step.Report.Skipped,
            Evaluation = step.Evaluation.ToDictionary(metric => metric.Item1, metric => metric.Item2),
        };
        entry = watch.Step(entry, step.Report.Tokens, state.Train.Parameters);
        _history.Add(entry);
        progress?.Report(entry);
    }
}
