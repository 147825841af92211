using Reft;

namespace Quickstart;

/// <summary>Prints a line every few steps, on the training thread: <see cref="Progress{T}"/> would lose their order.</summary>
internal sealed class StepLines(int every) : IProgress<TrainingProgress>
{
    public void Report(TrainingProgress value)
    {
        if (value.Step % every == 0 || value.Step == value.TotalSteps)
        {
            var heldOut = value.EvaluationLoss is { } loss ? $"   held out {loss:F3}" : "";
            Console.WriteLine(
                $"  step {value.Step,3} of {value.TotalSteps}   loss {value.Loss:F3}   {value.Remaining.TotalSeconds,3:F0} s left{heldOut}");
        }
    }
}
