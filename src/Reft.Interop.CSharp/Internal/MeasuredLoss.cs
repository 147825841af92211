using System.Globalization;
using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>A loss with what it is measured by.</summary>
/// <param name="Objective">What it is, with its options, in words: a run goes on with the same one only.</param>
/// <param name="MetricNames">What it is measured by; the loss comes first.</param>
/// <param name="Loss">What is minimised.</param>
/// <param name="Metrics">What parameters are worth on batches, by name.</param>
internal sealed record MeasuredLoss(
    string Objective,
    IReadOnlyList<string> MetricNames,
    Func<Core.Batch, Core.Parameters, torch.Tensor> Loss,
    Func<IEnumerable<Core.Batch>, Core.Parameters, FSharpList<Tuple<string, double>>> Metrics)
{
    /// <summary>A loss that is measured by itself.</summary>
    public static MeasuredLoss Alone(string objective, Func<Core.Batch, Core.Parameters, torch.Tensor> loss) =>
        new(
            objective,
            ["loss"],
            loss,
            (batches, theta) => [Tuple.Create("loss", Core.Trainer.evaluate(loss.ToFSharpFunc(), theta, batches))]);

    /// <summary>The same with a penalty, which training adds and evaluations leave out.</summary>
    public MeasuredLoss With(TrainingPenalty? penalty) =>
        penalty is null
            ? this
            : this with
            {
                Objective = string.Create(CultureInfo.InvariantCulture, $"{Objective}, with {penalty.Weight:R} times a penalty"),
                Loss = penalty.AddTo(Loss),
            };
}
