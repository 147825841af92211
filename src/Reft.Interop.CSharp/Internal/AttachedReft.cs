using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>A spec with parameters, which it owns, and what binding computes from them.</summary>
internal sealed class AttachedReft(FSharpList<Core.Placement> spec, Core.Parameters parameters) : IDisposable
{
    private readonly Lazy<Core.BoundReft> _bound = new(() => Core.Reft.bind(spec, parameters));

    public FSharpList<Core.Placement> Spec => spec;

    public Core.Parameters Parameters => parameters;

    public Core.BoundReft Bound => _bound.Value;

    /// <summary>Fresh parameters of a seed, on the model's device.</summary>
    public static AttachedReft Fresh(ReftSpec spec, Core.Transformer model, long seed)
    {
        using var scope = torch.NewDisposeScope();
        var placements = spec.For(model.Config);
        return new AttachedReft(placements, Kept(Core.Reft.init(placements, model.Config, Core.RngModule.ofSeed(seed)), model.Device));
    }

    /// <summary>Copies on a device that no scope owns.</summary>
    public static Core.Parameters Kept(Core.Parameters parameters, torch.Device device)
    {
        using var scope = torch.NewDisposeScope();
        // In one order of numbers, as a file has them: another would round products otherwise.
        Func<torch.Tensor, torch.Tensor> move = tensor => tensor.to(device).contiguous();
        return Core.ParametersModule.keep(Core.ParametersModule.map(move.ToFSharpFunc(), parameters));
    }

    public void Dispose()
    {
        if (_bound.IsValueCreated)
        {
            ((IDisposable)_bound.Value).Dispose();
        }

        Core.ParametersModule.dispose(parameters);
    }
}
