using Microsoft.FSharp.Collections;
using TorchSharp;

namespace Reft.Internal;

/// <summary>The activations of other runs, for the batches of one: row i of a source stands for row i.</summary>
internal sealed class SourceRuns(IReadOnlyList<CollectedActivations> runs)
{
    public bool IsEmpty => runs.Count == 0;

    /// <summary>The sources of a batch of these rows; on the current dispose scope.</summary>
    public FSharpList<Core.Activations> For(IReadOnlyList<int> rows, torch.Device device) =>
        runs.SelectMany(run => run.ForRows(rows, device)).ToFSharpList();

    /// <summary>What is bound, reading the sources of these rows.</summary>
    public FSharpList<Core.BoundReft> Give(FSharpList<Core.BoundReft> bound, IReadOnlyList<int> rows, torch.Device device)
    {
        if (IsEmpty)
        {
            return bound;
        }

        if (bound.IsEmpty)
        {
            throw new InvalidOperationException(
                "sources are read by interventions, and nothing is attached to the model: attach one, e.g. Interventions.Interchange()");
        }

        var sources = For(rows, device);
        return bound.Select(reft => Core.Reft.withSources(sources, reft)).ToFSharpList();
    }

    /// <summary>
    /// What is tuned, whose rows read sources by the identity of the examples that have them: batches may be shuffled.
    /// </summary>
    public Core.Tuned Give(
        Core.Tuned tuned, torch.Device device, IEnumerable<(Core.Example Example, int Row)> examples)
    {
        if (IsEmpty)
        {
            return tuned;
        }

        var rows = examples.ToDictionary(
            pair => pair.Example, pair => pair.Row, ReferenceEqualityComparer.Instance as IEqualityComparer<Core.Example>);
        Func<Core.Batch, Core.Context, Core.Context> prepare = (batch, context) =>
            Core.ContextModule.withSources(For([.. batch.Examples.Select(example => rows[example])], device), context);
        return Core.TunedModule.preparing(prepare.ToFSharpFunc(), tuned);
    }
}
