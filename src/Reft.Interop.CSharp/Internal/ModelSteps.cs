using Microsoft.FSharp.Core;
using TorchSharp;

namespace Reft.Internal;

/// <summary>How the steps of a run compute what is trained: what is kept over epochs, and what is computed twice.</summary>
internal sealed class ModelSteps : IDisposable
{
    private readonly Core.FrozenPrefix? _prefix;
    private readonly TrainingOptions _options;

    private ModelSteps(TrainingOptions options, Core.Tuned tuned, Core.Transformer model, string? tuning)
    {
        (_options, Model, Tuned) = (options, model, tuned);
        if (options.FrozenLayerCache is { } cache)
        {
            if (tuning is not null)
            {
                throw new ArgumentException(
                    $"FrozenLayerCache: the model itself is tuned by {tuning}, so that none of its layers is frozen: leave it out");
            }

            _prefix = Core.FrozenPrefixModule.create(
                new Core.FrozenPrefixOptions(cache.MaxBytes, cache.Folder.ToOption()), tuned.Spec, model);
            Tuned = Core.FrozenPrefixModule.tuned(_prefix);
        }
    }

    /// <summary>The base model.</summary>
    public Core.Transformer Model { get; }

    /// <summary>What is trained.</summary>
    public Core.Tuned Tuned { get; }

    /// <summary>What a run works on, which owns how its model is computed.</summary>
    /// <param name="options">How to train.</param>
    /// <param name="tuned">What is trained.</param>
    /// <param name="model">The base model.</param>
    /// <param name="tuning">How the model itself is tuned; null where it is frozen.</param>
    /// <param name="prepare">Makes it.</param>
    public static TrainingSet Prepare(
        TrainingOptions options, Core.Tuned tuned, Core.Transformer model, string? tuning, Func<ModelSteps, TrainingSet> prepare)
    {
        var steps = new ModelSteps(options, tuned, model, tuning);
        try
        {
            return prepare(steps) with { Steps = steps };
        }
        catch
        {
            steps.Dispose();
            throw;
        }
    }

    /// <summary>The loss of a readout whose activations may be computed again; null where all are kept.</summary>
    public static Func<Core.Batch, Core.Parameters, torch.Tensor>? Recomputing(
        int? every,
        Func<FSharpFunc<Core.Batch, FSharpFunc<Core.Parameters, FSharpFunc<Core.Context, FSharpFunc<Core.Transformer, FSharpFunc<torch.Tensor, torch.Tensor>>>>>> readout,
        Core.Tuned tuned) =>
        every is { } blocks ? Core.Recompute.loss(blocks, readout(), tuned).ToFunc() : null;

    /// <summary>Refuses recomputation for a loss that runs the model in other ways than once.</summary>
    /// <exception cref="ArgumentException">Activations are to be computed again.</exception>
    public static void KeepsActivations(int? every, string objective)
    {
        if (every is not null)
        {
            throw new ArgumentException(
                $"RecomputeEvery: {objective} needs all activations at once: leave it out, or train in smaller batches with GradientAccumulation");
        }
    }

    /// <summary>The loss of next tokens.</summary>
    public Func<Core.Batch, Core.Parameters, torch.Tensor> Language(Core.Tuned tuned) =>
        (_options.RecomputeEvery is { } every ? Core.Recompute.language(every, tuned) : Core.LossModule.language(tuned)).ToFunc();

    /// <summary>The loss of labelled rows.</summary>
    public Func<Core.Batch, Core.Parameters, torch.Tensor> Sequence(Core.Classifier classifier) =>
        (_options.RecomputeEvery is { } every
            ? Core.Recompute.sequence(every, classifier, Tuned)
            : Core.LossModule.sequence(classifier, Tuned)).ToFunc();

    /// <summary>
    /// Computes what is kept before the first step, so that a run reads the same bits in whatever order its batches come, as one
    /// that goes on must.
    /// </summary>
    public void Fill(IReadOnlyList<Core.Example> examples, IReadOnlyList<Core.Example> heldOut, CancellationToken cancel)
    {
        if (_prefix is not null)
        {
            Core.FrozenPrefixModule.fill(_options.BatchSize, examples, cancel, _prefix);
            Core.FrozenPrefixModule.fill(_options.BatchSize, heldOut, cancel, _prefix);
            Core.FrozenPrefixModule.seal(_prefix);
        }
    }

    public void Dispose() => (_prefix as IDisposable)?.Dispose();
}
