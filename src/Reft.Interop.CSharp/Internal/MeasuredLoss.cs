using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>A loss with what it is measured by.</summary>
/// <param name="Objective">What it is, in words.</param>
/// <param name="Loss">What is minimised.</param>
/// <param name="MetricNames">The names of what is measured; the loss comes first.</param>
/// <param name="Metrics">What parameters are worth on batches, by name.</param>
internal sealed record MeasuredLoss(
    string Objective,
    Func<Core.Batch, Core.Parameters, torch.Tensor> Loss,
    IReadOnlyList<string> MetricNames,
    Func<IEnumerable<Core.Batch>, Core.Parameters, FSharpList<Tuple<string, double>>> Metrics)
{
    /// <summary>A loss that is measured by itself.</summary>
    public static MeasuredLoss Alone(string objective, Func<Core.Batch, Core.Parameters, torch.Tensor> loss) =>
        new(
            objective,
            loss,
            ["loss"],
            (batches, theta) => [Tuple.Create("loss", Core.Trainer.evaluate(loss.ToFSharpFunc(), theta, batches))]);

    /// <summary>What parameters are worth on examples, by name.</summary>
    public IReadOnlyDictionary<string, double> Measure(
        Core.Example[] examples, int batchSize, Core.Parameters theta, CancellationToken cancel = default) =>
        Metrics(
            examples.Chunk(batchSize).Select(chunk =>
            {
                cancel.ThrowIfCancellationRequested();
                return Core.BatchModule.create(Core.PaddingSide.Right, chunk.ToFSharpList());
            }),
            theta).ToDictionary(metric => metric.Item1, metric => metric.Item2, StringComparer.Ordinal);
}
