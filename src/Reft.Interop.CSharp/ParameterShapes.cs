using System.Collections;
using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>How a parameter of your own intervention begins.</summary>
public enum ParameterStart
{
    /// <summary>All 0: the usual choice where the change is then 0, so that training starts at the base model.</summary>
    Zeros,

    /// <summary>All 1.</summary>
    Ones,

    /// <summary>Uniformly random in (−1/√width, 1/√width), as a linear layer begins.</summary>
    Uniform,

    /// <summary>Normally random with standard deviation 0.02, as an embedding begins.</summary>
    Normal,
}

/// <summary>
/// The parameters of your own intervention, by name and shape:
/// <c>new ParameterShapes { { "v", ParameterShapes.Width } }</c>.
/// </summary>
public sealed class ParameterShapes : IEnumerable<string>
{
    /// <summary>Stands for the width of the rows that the intervention edits, e.g. the hidden size.</summary>
    public const long Width = -1;

    private readonly List<Entry> _entries = [];

    /// <summary>A parameter that begins at 0.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="shape">Its shape; <see cref="Width"/> stands for the width of the rows.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, or a size is neither positive nor <see cref="Width"/>.</exception>
    public void Add(string name, params long[] shape) => Add(name, ParameterStart.Zeros, shape);

    /// <summary>A parameter.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="start">How it begins.</param>
    /// <param name="shape">Its shape; <see cref="Width"/> stands for the width of the rows.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, or a size is neither positive nor <see cref="Width"/>.</exception>
    public void Add(string name, ParameterStart start, params long[] shape)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (_entries.Any(entry => entry.Name == name))
        {
            throw new ArgumentException($"there is already a parameter '{name}'", nameof(name));
        }

        if (shape.Any(size => size < 1 && size != Width))
        {
            throw new ArgumentException(
                $"expected positive sizes or ParameterShapes.Width, found [{string.Join(", ", shape)}]", nameof(shape));
        }

        _entries.Add(new Entry(name, start, [.. shape]));
    }

    /// <summary>The names, in order.</summary>
    public IEnumerator<string> GetEnumerator() => _entries.Select(entry => entry.Name).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>A copy that later additions do not reach.</summary>
    internal ParameterShapes Snapshot()
    {
        var copy = new ParameterShapes();
        copy._entries.AddRange(_entries);
        return copy;
    }

    internal Core.Parameters Init(int width, Core.Rng rng) =>
        new(_entries.Select((entry, i) =>
            Core.ParametersModule.entry(Core.Role.Undecayed, entry.Name, entry.Init(width, Core.RngModule.fork(i, rng)))));

    private sealed record Entry(string Name, ParameterStart Start, long[] Shape)
    {
        public torch.Tensor Init(int width, Core.Rng rng)
        {
            var shape = Shape.Select(size => size == Width ? width : size).ToArray();
            var bound = 1 / Math.Sqrt(width);
            return Start switch
            {
                ParameterStart.Zeros => torch.zeros(shape, torch.float32),
                ParameterStart.Ones => torch.ones(shape, torch.float32),
                ParameterStart.Uniform => Core.RngModule.uniform(-bound, bound, shape.ToFSharpList(), rng),
                _ => Core.RngModule.normal(shape.ToFSharpList(), rng).mul_(0.02f),
            };
        }
    }
}
