using TorchSharp;

namespace Reft.Internal;

/// <summary>Methods that hold a constant vector: made from their form, the vector is zero, as a file then fills it.</summary>
internal static class ConstantVector
{
    private const string Name = "vector";

    /// <summary>The same intervention, whose fresh parameters hold the vector.</summary>
    public static ReftIntervention WithVector(this ReftIntervention intervention, string method, ReadOnlyMemory<float> vector)
    {
        float[] values = [.. vector.Span];
        if (!Array.Exists(values, value => value != 0) || !Array.TrueForAll(values, float.IsFinite))
        {
            var found = values.Length == 0 ? "none" : Array.TrueForAll(values, value => value == 0) ? "zeros" : "some that are infinite or not a number";
            throw new ArgumentException($"{method} needs a vector of finite numbers with a direction, found {found}", nameof(vector));
        }

        var empty = intervention.Value;
        Func<int, Core.Rng, Core.Parameters> init = (width, rng) => width == values.Length
            ? new(empty.Init.Invoke(width).Invoke(rng).Entries.Select(p =>
                p.Name == Name ? Core.ParametersModule.entry(p.Role, p.Name, torch.tensor(values)) : p))
            : throw new ArgumentException(
                $"{method}: expected a vector of the width it edits, {width}, found one of {values.Length}: collect it at the same site",
                nameof(vector));
        return new(new Core.Intervention(empty.Form, init.ToFSharpFunc(), empty.Bind, empty.BindRows, empty.Parts));
    }
}
