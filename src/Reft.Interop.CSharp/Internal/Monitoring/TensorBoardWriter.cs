using TorchSharp;
using TorchSharp.Modules;

namespace Reft.Internal;

/// <summary>A run's curves as TensorBoard's event files, by TorchSharp's writer.</summary>
internal sealed class TensorBoardWriter
{
    private readonly SummaryWriter _writer;

    public TensorBoardWriter(string folder)
    {
        Directory.CreateDirectory(folder);
        _writer = torch.utils.tensorboard.SummaryWriter(folder, createRunName: false);
    }

    public void Step(TrainingProgress step)
    {
        Scalar("train/loss", step.Loss);
        Scalar("train/learning_rate", step.LearningRate);
        Scalar("train/gradient_norm", step.GradientNorm);
        Scalar("train/tokens_per_second", step.TokensPerSecond);
        foreach (var (metric, value) in step.Evaluation)
        {
            Scalar($"evaluation/{metric}", value);
        }

        foreach (var site in step.EditNorms.GroupBy(edit => edit.Site))
        {
            Scalar($"edits/{site.Key}", EditsOf(site));
        }

        void Scalar(string tag, double value) => _writer.add_scalar(tag, (float)value, step.Step);
    }

    /// <summary>The mean ratio of a site's edits, each hidden state weighing the same.</summary>
    public static double EditsOf(IEnumerable<EditMeasurement> site) =>
        site.Sum(edit => edit.Ratio * edit.Rows) / Math.Max(1, site.Sum(edit => edit.Rows));
}
