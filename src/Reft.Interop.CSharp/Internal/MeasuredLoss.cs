using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>A loss with what it is measured by.</summary>
/// <param name="Loss">What is minimised.</param>
/// <param name="Metrics">What parameters are worth on batches, by name; the loss comes first.</param>
internal sealed record MeasuredLoss(
    Func<Core.Batch, Core.Parameters, torch.Tensor> Loss,
    Func<IEnumerable<Core.Batch>, Core.Parameters, FSharpList<Tuple<string, double>>> Metrics)
{
    /// <summary>A loss that is measured by itself.</summary>
    public static MeasuredLoss Alone(Func<Core.Batch, Core.Parameters, torch.Tensor> loss) =>
        new(loss, (batches, theta) => [Tuple.Create("loss", Core.Trainer.evaluate(loss.ToFSharpFunc(), theta, batches))]);
}
