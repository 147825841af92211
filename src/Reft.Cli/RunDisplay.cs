using System.Diagnostics;

namespace Reft.Cli;

/// <summary>A run of a recipe as it goes, in lines.</summary>
internal sealed class RunDisplay : IProgress<RecipeProgress>
{
    private const int LinesPerRun = 10;
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(10);

    private readonly Stopwatch _silence = Stopwatch.StartNew();

    public void Report(RecipeProgress value)
    {
        if (value.IsFromEarlierRun)
        {
            Terminal.Say($"seed {value.Seed}: finished by an earlier run");
            return;
        }

        var steps = value.Training is not null && (value.Done == 1 || value.Done % Math.Max(1, value.Total / LinesPerRun) == 0);
        if (value.Done != value.Total && !steps && _silence.Elapsed < LongestSilence)
        {
            return;
        }

        _silence.Restart();
        if (value.Training is { } step)
        {
            Terminal.Say(
                $"seed {value.Seed}: step {step.Step}/{step.TotalSteps}, loss {step.Loss:0.0000}, lr {step.LearningRate:0.##e0}, {step.Remaining.TotalSeconds:0} s left");
        }
        else
        {
            Terminal.Say($"seed {value.Seed}: {value.Dataset} {value.Done}/{value.Total} rows");
        }
    }
}
