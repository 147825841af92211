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

/// <summary>What training may do with a parameter of your own intervention.</summary>
public enum ParameterRole
{
    /// <summary>Trained, and shrunk by weight decay: matrices of linear maps.</summary>
    Decayed,

    /// <summary>Trained, never decayed: biases, norms, matrices that are made orthonormal. The default.</summary>
    Undecayed,

    /// <summary>Saved, never trained and never counted: reading vectors, mean differences.</summary>
    Constant,
}

/// <summary>
/// The parameters of your own intervention, by name, role and shape or initial value:
/// <c>new ParameterShapes { { "v", ParameterShapes.Width }, { "mean", mean, ParameterRole.Constant } }</c>.
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

    /// <summary>A parameter that training changes and weight decay leaves alone.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="start">How it begins.</param>
    /// <param name="shape">Its shape; <see cref="Width"/> stands for the width of the rows.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, or a size is neither positive nor <see cref="Width"/>.</exception>
    public void Add(string name, ParameterStart start, params long[] shape) => Add(name, start, ParameterRole.Undecayed, shape);

    /// <summary>A parameter.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="start">How it begins.</param>
    /// <param name="role">What training may do with it.</param>
    /// <param name="shape">Its shape; <see cref="Width"/> stands for the width of the rows.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, or a size is neither positive nor <see cref="Width"/>.</exception>
    public void Add(string name, ParameterStart start, ParameterRole role, params long[] shape)
    {
        if (shape.Any(size => size < 1 && size != Width))
        {
            throw new ArgumentException(
                $"expected positive sizes or ParameterShapes.Width, found [{string.Join(", ", shape)}]", nameof(shape));
        }

        long[] sizes = [.. shape];
        Add(name, role, (width, rng) => Fresh(start, [.. sizes.Select(size => size == Width ? width : size)], width, rng));
    }

    /// <summary>A parameter that begins as a copy of a tensor, such as a reading vector.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="value">Its initial value; kept as fp32.</param>
    /// <param name="role">What training may do with it.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, or the value has a number that is not finite.</exception>
    public void Add(string name, torch.Tensor value, ParameterRole role = ParameterRole.Undecayed)
    {
        using var scope = torch.NewDisposeScope();
        var copy = Finite(name, value).clone().DetachFromDisposeScope();
        Add(name, role, (_, _) => copy.clone());
    }

    /// <summary>A parameter that begins at a value of your own making, which may depend on the width.</summary>
    /// <param name="name">Its name, unique among these.</param>
    /// <param name="initial">
    /// Width of the rows and a seed → the initial value; kept as fp32. The same seed must give the same value, and the
    /// shape must depend on the width alone: an adapter is loaded by it.
    /// </param>
    /// <param name="role">What training may do with it.</param>
    /// <exception cref="ArgumentException">The name is taken or empty.</exception>
    public void Add(string name, Func<int, long, torch.Tensor> initial, ParameterRole role = ParameterRole.Undecayed)
    {
        ArgumentNullException.ThrowIfNull(initial);
        Add(name, role, (width, rng) => Finite(name, initial(width, SeedOf(rng))).clone());
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
        new(_entries.Select((entry, i) => Core.ParametersModule.entry(
            entry.Role.ToCore(), entry.Name, entry.Init(width, Core.RngModule.fork(i, rng)))));

    private static torch.Tensor Fresh(ParameterStart start, long[] shape, int width, Core.Rng rng)
    {
        var bound = 1 / Math.Sqrt(width);
        using var deviation = 0.02f.ToScalar();
        return start switch
        {
            ParameterStart.Zeros => torch.zeros(shape, torch.float32),
            ParameterStart.Ones => torch.ones(shape, torch.float32),
            ParameterStart.Uniform => Core.RngModule.uniform(-bound, bound, shape.ToFSharpList(), rng),
            _ => Core.RngModule.normal(shape.ToFSharpList(), rng).mul_(deviation),
        };
    }

    private static torch.Tensor Finite(string name, torch.Tensor value)
    {
        var number = value.detach().to(torch.float32).cpu();
        return number.isfinite().all().item<bool>()
            ? number
            : throw new ArgumentException(
                $"expected finite numbers as the initial value of the parameter '{name}', found some that are infinite or not a number",
                nameof(value));
    }

    private static long SeedOf(Core.Rng rng) => (long)(Core.RngModule.next(rng).Item1 >> 1);

    private void Add(string name, ParameterRole role, Func<int, Core.Rng, torch.Tensor> init)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (_entries.Any(entry => entry.Name == name))
        {
            throw new ArgumentException($"there is already a parameter '{name}'", nameof(name));
        }

        _entries.Add(new Entry(name, role, init));
    }

    private sealed record Entry(string Name, ParameterRole Role, Func<int, Core.Rng, torch.Tensor> Init);
}
