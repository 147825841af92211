using System.Diagnostics;
using System.Globalization;
using Spectre.Console;

namespace Reft.Cli;

/// <summary>A training run as it goes: a bar on a terminal, lines elsewhere.</summary>
internal static class TrainingDisplay
{
    private const int LinesPerRun = 20;
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(10);

    /// <summary>Runs it and shows its progress.</summary>
    public static Task<TrainingResult> ShowAsync(Func<IProgress<TrainingProgress>, Task<TrainingResult>> run) =>
        Terminal.ShowsErrors ? Terminal.WithBarAsync("training", bar => run(Bar(bar))) : run(Lines());

    private static Observer Bar(ProgressTask bar)
    {
        var evaluated = "";
        return new(step =>
        {
            bar.MaxValue = step.TotalSteps;
            bar.Value = step.Step;
            bar.Description = Markup.Escape(string.Create(
                CultureInfo.InvariantCulture,
                $"step {step.Step}/{step.TotalSteps}, loss {step.Loss:0.0000}{HeldOut(step, ref evaluated)}, lr {step.LearningRate:0.##e0}, {step.TokensPerSecond:0} tokens/s"));
        });
    }

    private static Observer Lines()
    {
        var silence = Stopwatch.StartNew();
        return new(step =>
        {
            var interval = Math.Max(1, step.TotalSteps / LinesPerRun);
            if (step.Step == 1 || step.Step % interval == 0 || step.Step == step.TotalSteps
                || step.EvaluationLoss is not null || silence.Elapsed > LongestSilence)
            {
                silence.Restart();
                Terminal.Say(
                    $"step {step.Step}/{step.TotalSteps}, epoch {step.Epoch:0.00}, loss {step.Loss:0.0000}{HeldOut(step)}, lr {step.LearningRate:0.##e0}, gradient norm {step.GradientNorm:0.###}, {step.TokensPerSecond:0} tokens/s, {step.Remaining.TotalSeconds:0} s left");
            }
        });
    }

    // A bar goes on showing the last evaluation.
    private static string HeldOut(TrainingProgress step, ref string last) =>
        last = step.Evaluation.Count > 0 ? HeldOut(step) : last;

    private static string HeldOut(TrainingProgress step) =>
        string.Concat(step.Evaluation.Select(metric => string.Create(
            CultureInfo.InvariantCulture, $", held-out {metric.Key} {metric.Value:0.0000}")));

    // Progress<T> would post to another thread, and the last steps could come after the end.
    private sealed class Observer(Action<TrainingProgress> observe) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => observe(value);
    }
}
