namespace Reft.Reproduction;

/// <summary>Cancels a training run when its loss is low enough, and counts its steps.</summary>
internal sealed class StopAt(double loss, CancellationTokenSource cancel) : IProgress<TrainingProgress>
{
    /// <summary>The steps taken.</summary>
    public int Steps { get; private set; }

    /// <inheritdoc />
    public void Report(TrainingProgress value)
    {
        Steps = value.Step;
        if (value.Loss <= loss)
        {
            cancel.Cancel();
        }
    }
}
