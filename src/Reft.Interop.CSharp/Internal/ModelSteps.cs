using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>How the steps of a run compute a frozen model with a spec: what is kept over epochs, and what is computed twice.</summary>
internal sealed class ModelSteps : IDisposable
{
    private readonly Core.FrozenPrefix? _prefix;
    private readonly TrainingOptions _options;

    public ModelSteps(TrainingOptions options, FSharpList<Core.Placement> spec, Core.Transformer model)
    {
        _options = options;
        if (options.FrozenLayerCache is { } cache)
        {
            _prefix = Core.FrozenPrefixModule.create(
                new Core.FrozenPrefixOptions(cache.MaxBytes, cache.Folder.ToOption()), spec, model);
        }

        Tuned = _prefix is null ? Core.TunedModule.reft(spec, model) : Core.FrozenPrefixModule.tuned(_prefix);
    }

    /// <summary>What is trained.</summary>
    public Core.Tuned Tuned { get; }

    /// <summary>The loss of next tokens.</summary>
    public Func<Core.Batch, Core.Parameters, torch.Tensor> Language(Core.Tuned tuned) =>
        (_options.RecomputeEvery is { } every ? Core.Recompute.language(every, tuned) : Core.LossModule.language(tuned)).ToFunc();

    /// <summary>The loss of labelled rows.</summary>
    public Func<Core.Batch, Core.Parameters, torch.Tensor> Sequence(Core.Classifier classifier) =>
        (_options.RecomputeEvery is { } every
            ? Core.Recompute.sequence(every, classifier, Tuned)
            : Core.LossModule.sequence(classifier, Tuned)).ToFunc();

    /// <summary>
    /// Computes what is kept before the first step, so that a run reads the same bits in whatever order its batches come.
    /// </summary>
    public void Fill(IReadOnlyList<Core.Example> examples, CancellationToken cancel)
    {
        if (_prefix is not null)
        {
            Core.FrozenPrefixModule.fill(_options.BatchSize, examples, cancel, _prefix);
        }
    }

    public void Dispose() => (_prefix as IDisposable)?.Dispose();
}
