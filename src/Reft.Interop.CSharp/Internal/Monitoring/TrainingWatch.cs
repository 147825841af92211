using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Reft.Internal;

/// <summary>
/// Everyone who is told of a training run: its log, TensorBoard, the application's logger, and whoever listens to the
/// library's activities and metrics.
/// </summary>
/// <param name="subject">What is trained.</param>
/// <param name="options">How.</param>
/// <param name="set">On what.</param>
/// <param name="logger">The application's.</param>
internal sealed class TrainingWatch(TrainingSubject subject, TrainingOptions options, TrainingSet set, ILogger logger) : IDisposable
{
    private readonly List<TrainingProgress> _steps = [];
    private readonly List<int> _resumed = [];
    private readonly TagList _tags = new() { { "reft.model.family", subject.Model.Config.Family } };
    private readonly Stopwatch _step = new();
    private TrainingLogHeader? _header;
    private TrainingLogWriter? _writer;
    private TensorBoardWriter? _board;
    private Activity? _activity;
    private long _tokens;
    private bool _hasBegun;

    /// <summary>Why the log is not complete; null where it is.</summary>
    public string? Problem { get; private set; }

    /// <summary>Opens what is written. What cannot be opened is refused now: later the run goes on without it.</summary>
    /// <param name="before">The steps that were taken before; empty in a fresh run.</param>
    public void Begin(IReadOnlyList<TrainingProgress> before)
    {
        _hasBegun = true;
        var from = before.Count > 0 ? before[^1].Step : 0;
        _header = TrainingHeader.Of(subject, options, set);
        _steps.AddRange(before);
        if (from > 0)
        {
            _resumed.Add(from);
        }

        if (options.Logging?.JsonLines is { } path)
        {
            _writer = TrainingLogWriter.Open(path, from);
            if (_writer.IsEmpty)
            {
                _writer.Header(_header);
                before.ToList().ForEach(_writer.Step);
            }

            if (from > 0)
            {
                _writer.Resumed(from);
            }
        }

        if (options.Logging?.TensorBoard is { } folder)
        {
            _board = new TensorBoardWriter(folder);
        }

        logger.TrainingBegins(subject.Start.TrainableCount, set.Examples.Count, set.Evaluation.Count, from);
        _activity = ReftTelemetry.Source.StartActivity("reft.train");
        _activity?.SetTag("reft.model.family", subject.Model.Config.Family);
        _activity?.SetTag("reft.training.parameters", subject.Start.TrainableCount);
        _activity?.SetTag("reft.training.rows", set.Examples.Count);
        _step.Restart();
    }

    /// <summary>Runs an evaluation, whose time is not that of the step before it.</summary>
    public T Evaluating<T>(Func<T> evaluate)
    {
        using var activity = ReftTelemetry.Source.StartActivity("reft.evaluate");
        _step.Stop();
        var found = evaluate();
        _step.Start();
        return found;
    }

    /// <summary>Tells of a step; the same with what was measured after it.</summary>
    /// <param name="step">The step.</param>
    /// <param name="tokens">The tokens that it read.</param>
    /// <param name="theta">The parameters after it.</param>
    public TrainingProgress Step(TrainingProgress step, int tokens, Core.Parameters theta)
    {
        BeginAfresh();
        var duration = _step.Elapsed.TotalSeconds;
        if (options.Logging?.EditNormsEvery is { } every && (step.Step == 1 || step.Step % every == 0 || step.Step == step.TotalSteps))
        {
            step = step with { EditNorms = set.Probe?.Measure(theta) ?? [] };
        }

        _tokens += tokens;
        _steps.Add(step);
        Measure(step, tokens, duration);
        logger.Step(step.Step, step.TotalSteps, step.Loss, step.LearningRate, step.GradientNorm, step.TokensPerSecond);
        foreach (var (metric, value) in step.Evaluation)
        {
            logger.Evaluated(step.Step, step.TotalSteps, metric, value);
        }

        Write(writer => writer.Step(step));
        Write(step.Step, () => _board?.Step(step));
        _step.Restart();
        return step;
    }

    /// <summary>Tells that the run has ended; the whole log.</summary>
    public TrainingLog End(TrainingEnd end, TimeSpan elapsed)
    {
        BeginAfresh();
        var reason = JsonNamingPolicy.SnakeCaseLower.ConvertName(end.ToString());
        var last = _steps.Count > 0 ? _steps[^1].Step : 0;
        Write(writer => writer.End(reason, last, elapsed));
        logger.TrainingEnds(reason, last, elapsed.TotalSeconds);
        _activity?.SetTag("reft.training.end", reason);
        _activity?.SetTag("reft.training.steps", last);
        _activity?.SetTag("reft.training.tokens", _tokens);
        if (_resumed.Count > 0 && Problem is null && options.Logging?.JsonLines is { } path)
        {
            // The file alone knows what was measured before the break.
            return TrainingLogReader.Read(path);
        }

        return new TrainingLog { Header = _header, Steps = _steps, Resumed = _resumed, End = reason };
    }

    /// <summary>Tells that it failed.</summary>
    public void Fail(Exception exception, TimeSpan elapsed)
    {
        if (!_hasBegun)
        {
            return;
        }

        var last = _steps.Count > 0 ? _steps[^1].Step : 0;
        Write(writer => writer.End("failed", last, elapsed));
        logger.TrainingFails(exception, last);
        _activity?.SetStatus(ActivityStatusCode.Error, exception.Message);
    }

    // A run that is to be resumed, where there was nothing to resume.
    private void BeginAfresh()
    {
        if (!_hasBegun)
        {
            Begin([]);
        }
    }

    public void Dispose()
    {
        _writer?.Dispose();
        _activity?.Dispose();
    }

    private void Measure(TrainingProgress step, int tokens, double seconds)
    {
        ReftTelemetry.StepDuration.Record(seconds, _tags);
        ReftTelemetry.TrainedTokens.Add(tokens, _tags);
        ReftTelemetry.Loss.Record(step.Loss, _tags);
        ReftTelemetry.LearningRate.Record(step.LearningRate, _tags);
        ReftTelemetry.GradientNorm.Record(step.GradientNorm, _tags);
        foreach (var (metric, value) in step.Evaluation)
        {
            ReftTelemetry.Evaluated.Record(value, [.. _tags, new("metric", metric)]);
        }
    }

    private void Write(Action<TrainingLogWriter> write) =>
        Write(_steps.Count > 0 ? _steps[^1].Step : 0, () =>
        {
            if (_writer is { } writer)
            {
                write(writer);
            }
        });

    // A full disk must not end a night's training: the log ends, and that is said.
    private void Write(int step, Action write)
    {
        if (Problem is not null)
        {
            return;
        }

        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Problem = $"the log ends at step {step}: {e.Message}";
            logger.LogFails(step, e.Message);
        }
    }
}
