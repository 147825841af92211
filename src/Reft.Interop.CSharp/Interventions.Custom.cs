using Microsoft.FSharp.Core;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public static partial class Interventions
{
    /// <summary>
    /// Your own intervention as a function: the change Δ of the rows. It is saved by its name and parameters, never as
    /// code: to load it, add it to the <see cref="InterventionRegistry"/>.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="shapes">Its parameters.</param>
    /// <param name="change">
    /// Parameters and rows h [n, width], fp32 → the change Δ [n, width] of the rows, by operations of TorchSharp. It runs
    /// on the thread that trains or generates and must not keep tensors.
    /// </param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    /// <remarks>
    /// A change of another shape, or one that does not depend on the parameters by differentiable operations, is refused
    /// when it is first computed. See <see cref="From"/> for an intervention that needs more: noise, other runs'
    /// activations, or work that is done once per step.
    /// </remarks>
    public static ReftIntervention FromFunc(
        string name,
        ParameterShapes shapes,
        Func<IReadOnlyDictionary<string, torch.Tensor>, torch.Tensor, torch.Tensor> change)
    {
        var fixedShapes = shapes.Snapshot();
        return Define(name, _ => fixedShapes, parameters => parameters, (parameters, _, h) => change(parameters, h), replaces: false);
    }

    /// <summary>
    /// Any function of the rows, h ↦ h′, without parameters: it gives the new rows themselves, so that it is exact in every
    /// dtype. It is saved by its name: to load it, add it to the <see cref="InterventionRegistry"/>.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="replacement">
    /// Rows h [n, width], fp32 → the new rows [n, width], by operations of TorchSharp. Gradients to earlier layers must
    /// pass through it: return <c>torch.zeros_like(h) * h</c> plus the constant rather than a constant.
    /// </param>
    /// <remarks>
    /// Where several threads generate at once, TorchSharp's sum of two tensors, its operators of a tensor and a number and
    /// <c>square</c> may read a number that another thread's collection has just freed: there, give numbers that you hold
    /// (<c>using var one = 1.ToScalar(); a.add(b, one)</c>).
    /// </remarks>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public static ReftIntervention Replace(string name, Func<torch.Tensor, torch.Tensor> replacement) =>
        new(Core.InterventionModule.ofFunction(name, replacement.ToFSharpFunc()));

    /// <summary>
    /// Your own intervention as a class. It trains, combines and is saved as the library's own; to load it, add it to the
    /// <see cref="InterventionRegistry"/>.
    /// </summary>
    /// <exception cref="ArgumentException">Its name is empty.</exception>
    public static ReftIntervention From(IIntervention intervention)
    {
        ArgumentNullException.ThrowIfNull(intervention);
        return Define(
            intervention.Name, intervention.Parameters, intervention.Prepare, intervention.Change, intervention.ReplacesRows);
    }

    private static ReftIntervention Define(
        string name,
        Func<int, ParameterShapes> parameters,
        Func<IReadOnlyDictionary<string, torch.Tensor>, IReadOnlyDictionary<string, torch.Tensor>> prepare,
        Func<IReadOnlyDictionary<string, torch.Tensor>, InterventionRows, torch.Tensor, torch.Tensor> change,
        bool replaces)
    {
        Func<int, Core.Rng, Core.Parameters> init = (width, rng) => parameters(width).Init(width, rng);
        Func<Core.Parameters, FSharpFunc<Core.Context, FSharpFunc<torch.Tensor, torch.Tensor>>> bind = theta =>
        {
            var prepared = prepare(theta.Entries.ToDictionary(p => p.Name, p => p.Value));
            Func<Core.Context, torch.Tensor, torch.Tensor> edit = (context, h) => change(prepared, new InterventionRows(context, h), h);
            return edit.ToFSharpFunc();
        };
        return new(replaces
            ? Core.InterventionModule.defineReplacement(name, init.ToFSharpFunc(), bind.ToFSharpFunc())
            : Core.InterventionModule.define(name, init.ToFSharpFunc(), bind.ToFSharpFunc()));
    }
}
