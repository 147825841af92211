using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
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
    private TrainingResumption? _resumed;

    /// <summary>Refuses options that Core does not see, or sees only after the rows were read.</summary>
    public static void Check(TrainingOptions options, int context)
    {
        Positive(options.Epochs, nameof(options.Epochs));
        Positive(options.BatchSize, nameof(options.BatchSize));
        Positive(options.GradientAccumulation, nameof(options.GradientAccumulation));
        Positive(options.MaxSteps ?? 1, nameof(options.MaxSteps));
        Positive(options.MaxExamples ?? 1, nameof(options.MaxExamples));
        Positive(options.EvaluateEvery ?? 1, nameof(options.EvaluateEvery));
        Positive(options.RecomputeEvery ?? 1, nameof(options.RecomputeEvery));
        Within(options.FrozenLayerCache is null or { MaxBytes: >= 0 }, "FrozenLayerCache.MaxBytes", "0 or more", options.FrozenLayerCache?.MaxBytes);
        Positive(options.EvaluateEveryEpochs ?? 1, nameof(options.EvaluateEveryEpochs));
        Positive(options.BestModel?.Patience ?? 1, "BestModel.Patience");
        Positive(options.Checkpoints?.Every ?? 1, "Checkpoints.Every");
        Positive(options.Checkpoints?.Keep ?? 1, "Checkpoints.Keep");
        Positive(options.Logging?.EditNormsEvery ?? 1, "Logging.EditNormsEvery");
        Positive(options.Logging?.EditNormRows ?? 1, "Logging.EditNormRows");
        Within(
            options.EvaluateEvery is null || options.EvaluateEveryEpochs is null,
            nameof(options.EvaluateEveryEpochs),
            "null beside EvaluateEvery, which counts steps",
            options.EvaluateEveryEpochs);
        Within(options.WarmupSteps is null or >= 0, nameof(options.WarmupSteps), "0 or more", options.WarmupSteps);
        Within(options.SkipNonFiniteSteps >= 0, nameof(options.SkipNonFiniteSteps), "0 or more", options.SkipNonFiniteSteps);
        Within(options.BestModel is null or { MinimumChange: >= 0 }, "BestModel.MinimumChange", "0 or more", options.BestModel?.MinimumChange);
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
        using var modelSteps = set.Steps;
        var examples = set.Examples;
        var rowsOfStep = (long)options.BatchSize * options.GradientAccumulation;
        var steps = options.Epochs * ((examples.Count + rowsOfStep - 1) / rowsOfStep);
        if (options.MaxSteps is null && steps > int.MaxValue)
        {
            throw new ArgumentException(
                $"{options.Epochs} epochs of {examples.Count} rows are {steps} steps, more than {int.MaxValue}: take fewer Epochs", nameof(prepare));
        }

        using var scope = torch.NewDisposeScope();
        using var watch = new TrainingWatch(subject, options, set, logger);
        if (options.Checkpoints is not { Resume: true })
        {
            watch.Begin([]);
        }

        var state = Core.TrainStateModule.create(Core.RngModule.ofSeed(options.Seed), subject.Start);
        try
        {
            modelSteps?.Fill(examples, set.Evaluation, cancel);
            Action<Core.Resumption, Core.FitState> resumed = (from, reached) => Resumed(watch, from, reached);
            Action<Core.RecordedStep, Core.FitState> report = (step, reached) => Report(watch, step, reached);
            var task = Watched(Task(set), watch);
            var fit = FitOptions();
            var result = Core.CheckpointedFit.run(
                Checkpoints(set, fit, task, state), fit, task, resumed.ToFSharpFunc(), report.ToFSharpFunc(), cancel, state);
            Keep(result.State);
            var best = result.State.Best.ValueOrNull();
            Core.FitStateModule.dispose(result.State);
            var end = result.End.IsCancelled ? TrainingEnd.Cancelled
                : result.End.IsEarlyStopped ? TrainingEnd.EarlyStopped
                : TrainingEnd.Completed;
            return new TrainingResult
            {
                History = _history,
                Cancelled = result.End.IsCancelled,
                End = end,
                Resumed = _resumed,
                Best = best is null ? null : new BestEvaluation(best.Step, options.BestModel!.Metric, best.Value),
                TrainedRows = examples.Count,
                SkippedRows = set.Skipped,
                SkippedEvaluationRows = set.SkippedEvaluation,
                TrainableParameters = subject.Start.TrainableCount - subject.HeadParameters,
                HeadParameters = subject.HeadParameters,
                Log = watch.End(end, _clock.Elapsed),
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
                if (_history.Count > 0)
                {
                    keep(Core.ParametersModule.keep(subject.Start.OfVector(_lastGood)));
                }

                _lastGood.Dispose();
            }
        }
    }

    private Core.FitTask Task(TrainingSet set)
    {
        var task = new Core.FitTask(set.Trained.Loss.ToFSharpFunc(), set.Examples, evaluate: null);
        var measured = set.Evaluated;
        if (options.BestModel is { } best)
        {
            if (set.Evaluation.Count == 0)
            {
                throw new ArgumentException(
                    $"BestModel chooses by '{best.Metric}' of rows that are held out, and there are none: give evaluation data");
            }

            if (!measured.MetricNames.Contains(best.Metric))
            {
                throw new ArgumentException(
                    $"expected BestModel.Metric to be one of {string.Join(", ", measured.MetricNames)}, found '{best.Metric}'");
            }
        }

        if (set.Evaluation.Count == 0)
        {
            return task;
        }

        Func<Core.Parameters, FSharpList<Tuple<string, double>>> evaluate = theta => measured.Metrics(
            Core.BatchModule.epoch(Core.PaddingSide.Right, options.BatchSize, FSharpOption<Core.Rng>.None, set.Evaluation),
            theta);
        return Core.FitTaskModule.evaluating(evaluate.ToFSharpFunc(), task);
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

    private FSharpOption<Core.RunCheckpoints>? Checkpoints(
        TrainingSet set, Core.FitOptions fit, Core.FitTask task, Core.TrainState start)
    {
        if (options.Checkpoints is not { } checkpoints)
        {
            return null;
        }

        return new Core.RunCheckpoints(
            checkpoints.Folder,
            checkpoints.Every,
            checkpoints.Keep,
            checkpoints.Resume,
            [
                .. Core.RunFactsModule.ofRun(subject.ModelText, subject.Spec, fit, task, start),
                Tuple.Create("Objective", set.Trained.Objective),
                Tuple.Create("Held-out rows", Core.RunFactsModule.examples(set.Evaluation)),
            ],
            [
                .. Core.RunFactsModule.environment(subject.Model.Model.Device),
                Tuple.Create(
                    "activations",
                    options.RecomputeEvery is { } every
                        ? string.Create(CultureInfo.InvariantCulture, $"computed again, {every} blocks at a time")
                        : "kept"),
                Tuple.Create(
                    "frozen layers",
                    options.FrozenLayerCache is { } cache
                        ? string.Create(CultureInfo.InvariantCulture, $"kept in {cache.MaxBytes} bytes")
                        : "computed"),
            ]);
    }

    private Core.FitOptions FitOptions()
    {
        var constants = Core.AdamW.defaults;
        return new Core.FitOptions(
            epochs: options.Epochs,
            maxSteps: options.MaxSteps.ToOption(),
            batchSize: options.BatchSize,
            accumulate: options.GradientAccumulation,
            weighting: options.AccumulationWeighting == AccumulationWeighting.Equal
                ? Core.BatchWeighting.Equal
                : Core.BatchWeighting.ByTerms,
            batching: options.Batching.Core,
            learningRate: options.LearningRate,
            schedule: options.Schedule.Shape,
            warmup: options.WarmupSteps is { } warmup ? Core.Warmup.NewSteps(warmup) : Core.Warmup.NewRatio(options.WarmupRatio),
            adamW: new Core.AdamWOptions(constants.Beta1, constants.Beta2, constants.Epsilon, options.WeightDecay),
            clipNorm: options.MaxGradientNorm.ToOption(),
            nonFinite: options.SkipNonFiniteSteps is > 0 and var most ? Core.NonFinite.NewSkip(most) : Core.NonFinite.Stop,
            shuffle: options.Shuffle,
            padding: Core.PaddingSide.Right,
            evaluateEvery: options.EvaluateEvery is { } steps
                ? Core.Interval.NewSteps(steps)
                : Core.Interval.NewEpochs(options.EvaluateEveryEpochs ?? 1),
            selection: (options.BestModel?.ToCore()).ToOption());
    }

    private void Resumed(TrainingWatch watch, Core.Resumption from, Core.FitState state)
    {
        Keep(state);
        _history.AddRange(from.Steps.Select(Entry));
        _resumed = new TrainingResumption(from.Path, from.Taken, from.TotalSteps, from.Ended, [.. from.Warnings]);
        watch.Begin(_history);
        options.Checkpoints?.Resumed?.Invoke(_resumed);
    }

    private void Report(TrainingWatch watch, Core.RecordedStep step, Core.FitState state)
    {
        Keep(state);
        var entry = watch.Step(Entry(step), step.Progress.Report.Tokens, state.Train.Parameters);
        _history.Add(entry);
        progress?.Report(entry);
    }

    // The next state replaces this one, and a failing step gives none: a copy survives both.
    private void Keep(Core.FitState state)
    {
        var theta = state.Best.ValueOrNull()?.Theta ?? state.Train.Theta;
        if (_lastGood is null)
        {
            _lastGood = theta.clone().DetachFromDisposeScope();
        }
        else
        {
            _lastGood.copy_(theta);
        }
    }

    private TrainingProgress Entry(Core.RecordedStep recorded)
    {
        var step = recorded.Progress;
        var elapsed = TimeSpan.FromSeconds(recorded.Seconds);
        _tokens += step.Report.Tokens;
        return new TrainingProgress
        {
            Step = step.Report.Step,
            TotalSteps = step.TotalSteps,
            Epoch = step.Epoch,
            Loss = step.Report.Loss,
            LearningRate = step.Report.LearningRate,
            GradientNorm = step.Report.GradientNorm,
            Skipped = step.Report.Skipped,
            TokensPerSecond = _tokens / recorded.Seconds,
            Elapsed = elapsed,
            Remaining = elapsed / step.Taken * (step.TotalSteps - step.Taken),
            Evaluation = step.Evaluation.ToDictionary(metric => metric.Item1, metric => metric.Item2),
        };
    }
}
