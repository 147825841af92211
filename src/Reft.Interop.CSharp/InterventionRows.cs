using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>
/// What an intervention of your own knows of the rows it edits, besides their hidden states. It is valid during one call
/// of <see cref="IIntervention.Change"/>.
/// </summary>
public sealed class InterventionRows
{
    private readonly Core.Context _context;
    private readonly torch.Tensor _hidden;
    private int _draws;

    internal InterventionRows(Core.Context context, torch.Tensor hidden)
    {
        _context = context;
        _hidden = hidden;
    }

    /// <summary>The number of rows.</summary>
    public int Count => _context.Rows.Length;

    /// <summary>Where in the model they are, e.g. <c>layers.7.block_output</c>.</summary>
    public string Site => _context.Site.ValueOrNull()?.ToString() ?? "";

    /// <summary>For each row the example of the batch that it belongs to, from 0.</summary>
    public IReadOnlyList<int> BatchRows => _context.Rows;

    /// <summary>Whether this is a training step: noise may be drawn, by <see cref="Uniform"/> and <see cref="Normal"/>.</summary>
    public bool IsTraining => _context.Random.HasValue();

    /// <summary>The numbers of the subspaces that act on a row, as its <see cref="DataRow.Subspaces"/> says; empty where all do.</summary>
    /// <param name="row">The row, 0 … <see cref="Count"/> − 1.</param>
    public IReadOnlyList<int> Subspaces(int row) =>
        _context.Subspaces.Length == 0 ? [] : [.. _context.Subspaces[_context.Rows[row]]];

    /// <summary>
    /// The hidden states of another run that stand for these rows: the k-th collected of each example for the k-th that is
    /// edited there. See <see cref="GenerationOptions.Sources"/> and <see cref="TrainingData.WithSources"/>.
    /// </summary>
    /// <param name="name">What the run is called.</param>
    /// <returns>[n, width]</returns>
    /// <exception cref="InvalidOperationException">No run of that name was given for this site, or it has another number of rows.</exception>
    public torch.Tensor Source(string name = CollectedActivations.DefaultName) => Core.Sources.rows(name, _context, _hidden);

    /// <summary>
    /// Independent numbers from [<paramref name="low"/>, <paramref name="high"/>), new ones at each call, and the same
    /// ones whenever the run is repeated.
    /// </summary>
    /// <param name="low">The least.</param>
    /// <param name="high">Their bound.</param>
    /// <param name="shape">The shape of the result.</param>
    /// <exception cref="InvalidOperationException">This is no training step.</exception>
    public torch.Tensor Uniform(double low, double high, params long[] shape) =>
        Core.RngModule.uniform(low, high, shape.ToFSharpList(), NextDraw()).to(_hidden.device);

    /// <summary>Independent standard normal numbers, as <see cref="Uniform"/>.</summary>
    /// <param name="shape">The shape of the result.</param>
    /// <exception cref="InvalidOperationException">This is no training step.</exception>
    public torch.Tensor Normal(params long[] shape) =>
        Core.RngModule.normal(shape.ToFSharpList(), NextDraw()).to(_hidden.device);

    private Core.Rng NextDraw() =>
        _context.Random.ToNullable() is { } random
            ? Core.RngModule.fork(_draws++, random)
            : throw new InvalidOperationException(
                "noise is drawn in training alone, so that generating and scoring repeat: look at IsTraining first");
}
