using System.Collections;
using Reft.Internal;

namespace Reft;

/// <summary>
/// Your own interventions and functions of positions, by their names. A saved adapter names them and never brings code of
/// its own: give them to <see cref="ReftModel.LoadAdapter"/>, e.g.
/// <c>new InterventionRegistry { shift, new TanhShift(), afterNewline }</c>.
/// </summary>
public sealed class InterventionRegistry : IEnumerable<string>
{
    private readonly Dictionary<string, ReftIntervention> _interventions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Core.PositionFunction> _functions = new(StringComparer.Ordinal);

    /// <summary>Adds an intervention of your own.</summary>
    /// <param name="intervention">What <see cref="Interventions.FromFunc"/>, <see cref="Interventions.Replace"/> or <see cref="Interventions.From"/> made.</param>
    /// <exception cref="ArgumentException">
    /// It is one of the library's or a combination, which need no name of their own, or its name is taken.
    /// </exception>
    public void Add(ReftIntervention intervention)
    {
        if (intervention.Value.Form is not Core.Form.Custom custom)
        {
            throw new ArgumentException(
                $"only interventions of your own are registered by name (FromFunc, Replace, From), each by itself; found {intervention}",
                nameof(intervention));
        }

        if (!_interventions.TryAdd(custom.name, intervention))
        {
            throw new ArgumentException($"there is already an intervention '{custom.name}'", nameof(intervention));
        }
    }

    /// <summary>Adds an intervention of your own.</summary>
    /// <exception cref="ArgumentException">Its name is taken.</exception>
    public void Add(IIntervention intervention) => Add(Interventions.From(intervention));

    /// <summary>Adds the functions of the row that are among these positions.</summary>
    /// <param name="positions">What <see cref="Reft.Positions.FromFunc"/> or <see cref="Reft.Positions.AfterToken"/> made, or a union with such.</param>
    /// <exception cref="ArgumentException">There is none among them, or its name is taken.</exception>
    public void Add(Positions positions)
    {
        var functions = positions.Functions().ToArray();
        if (functions is [])
        {
            throw new ArgumentException(
                $"only functions of the row are registered by name (Positions.FromFunc, Positions.AfterToken); found {positions}", nameof(positions));
        }

        foreach (var function in functions)
        {
            if (!_functions.TryAdd(function.Name, function))
            {
                throw new ArgumentException($"there is already a function of positions '{function.Name}'", nameof(positions));
            }
        }
    }

    /// <summary>The names: those of interventions, then those of functions of positions.</summary>
    public IEnumerator<string> GetEnumerator() => _interventions.Keys.Concat(_functions.Keys).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal Core.Registry ToCore()
    {
        var registry = _interventions.Values.Aggregate(
            Core.RegistryModule.standard, (registry, intervention) => Core.RegistryModule.add(intervention.Value, registry));
        return _functions.Values.Aggregate(
            registry, (registry, function) => Core.RegistryModule.addPositions(function, registry));
    }

    internal Core.Positions Parse(string text)
    {
        var registry = ToCore();
        Func<string, Core.PositionFunction> named = name => Core.RegistryModule.positions(registry, name);
        return Core.PositionsModule.parseWith(named.ToFSharpFunc(), text);
    }
}
