using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>A spec with parameters, which it owns, and what binding computes from them.</summary>
/// <param name="spec">As it was trained.</param>
/// <param name="parameters">Of the spec.</param>
/// <param name="scale">What its changes are multiplied by where it runs, before what <see cref="Rescale"/> is told.</param>
internal sealed class AttachedReft(FSharpList<Core.Placement> spec, Core.Parameters parameters, double scale = 1) : IDisposable
{
    private Lazy<Core.BoundReft> _bound = Binding(spec, parameters, scale);

    /// <summary>As it was trained.</summary>
    public FSharpList<Core.Placement> Spec => spec;

    /// <summary>Its own scale, which all others multiply.</summary>
    public double Scale => scale;

    /// <summary>As it runs.</summary>
    public FSharpList<Core.Placement> ScaledSpec { get; private set; } = Core.ReftSpecModule.scale(scale, spec);

    public Core.Parameters Parameters => parameters;

    /// <summary>As it runs, with its parameters.</summary>
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

    /// <summary>Multiplies what runs by another number than before. Nothing may be running.</summary>
    public void Rescale(double factor)
    {
        Release();
        ScaledSpec = Core.ReftSpecModule.scale(scale * factor, spec);
        _bound = Binding(spec, parameters, scale * factor);
    }

    public void Dispose()
    {
        Release();
        Core.ParametersModule.dispose(parameters);
    }

    private void Release()
    {
        if (_bound.IsValueCreated)
        {
            ((IDisposable)_bound.Value).Dispose();
        }
    }

    private static Lazy<Core.BoundReft> Binding(FSharpList<Core.Placement> spec, Core.Parameters parameters, double scale) =>
        new(() => Core.Reft.bind(Core.ReftSpecModule.scale(scale, spec), parameters));
}
