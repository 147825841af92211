using System.Reflection;
using Expecto;
using Expecto.CSharp;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;

namespace Reft.Tests.Conventions;

/// <summary>The C# API shows no F# type, and none of Reft.Core's own outside a short list.</summary>
public static class FacadeSignatureTests
{
    /// <summary>Types of Reft.Core that the facade may show. Keep it short, and say why for each.</summary>
    private static readonly string[] AllowedCoreTypes = [];

    /// <summary>The facade is clean, and the search would find a leak wherever one can hide.</summary>
    [Tests]
    public static readonly Test Signatures = Runner.TestList(
        "Facade signatures",
        [
            Runner.TestCase("show no F# type and no type of Reft.Core", FacadeIsClean),
            Runner.TestCase("a leak is found in every kind of signature", LeaksAreFound),
        ]);

    private static void FacadeIsClean()
    {
        var leaks = Assembly.Load("Reft.Interop.CSharp").GetExportedTypes().SelectMany(LeaksOf).ToArray();
        if (leaks.Length > 0)
        {
            throw new InvalidOperationException(
                "The C# API shows types that a C# program should not need:\n" + string.Join('\n', leaks));
        }
    }

    private static void LeaksAreFound()
    {
        string[] expected =
        [
            "Leaky base", "Leaky interface", "Leaky constructor", "Leaky.Method", "Leaky.Result", "Leaky.Property",
            "Leaky.Field", "Leaky.Event", "Leaky.Nested", "Leaky.Array", "Leaky.Core", "Leaky.Constraint",
        ];
        var found = LeaksOf(typeof(Leaky)).ToArray();
        var missed = expected.Where(place => !found.Any(leak => leak.StartsWith(place, StringComparison.Ordinal)));
        if (string.Join(", ", missed) is { Length: > 0 } places)
        {
            throw new InvalidOperationException($"not found: {places}; found:\n{string.Join('\n', found)}");
        }
    }

    private static IEnumerable<string> LeaksOf(Type type) =>
        from signature in SignaturesOf(type)
        from shown in Parts(signature.Type)
        where IsInternalType(shown)
        select $"{signature.Place} shows {shown}";

    private static bool IsInternalType(Type type) =>
        type.FullName is { } name
        && !AllowedCoreTypes.Contains(name)
        && (name.StartsWith("Microsoft.FSharp.", StringComparison.Ordinal)
            || name.StartsWith("Reft.Core.", StringComparison.Ordinal));

    private static IEnumerable<(string Place, Type Type)> SignaturesOf(Type type)
    {
        const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic
            | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

        if (type.BaseType is { } parent)
        {
            yield return ($"{type.Name} base", parent);
        }

        foreach (var contract in type.GetInterfaces())
        {
            yield return ($"{type.Name} interface", contract);
        }

        foreach (var constraint in Constraints(type.GetGenericArguments()))
        {
            yield return ($"{type.Name} constraint", constraint);
        }

        foreach (var constructor in type.GetConstructors(Declared).Where(IsVisible))
        {
            foreach (var parameter in constructor.GetParameters())
            {
                yield return ($"{type.Name} constructor({parameter.Name})", parameter.ParameterType);
            }
        }

        // Accessors of properties and events are methods too.
        foreach (var method in type.GetMethods(Declared).Where(IsVisible))
        {
            var place = $"{type.Name}.{method.Name.Replace("get_", "").Replace("set_", "").Replace("add_", "")}";
            yield return (place, method.ReturnType);
            foreach (var parameter in method.GetParameters())
            {
                yield return ($"{place}({parameter.Name})", parameter.ParameterType);
            }

            foreach (var constraint in Constraints(method.GetGenericArguments()))
            {
                yield return ($"{place} constraint", constraint);
            }
        }

        foreach (var field in type.GetFields(Declared).Where(f => f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly))
        {
            yield return ($"{type.Name}.{field.Name}", field.FieldType);
        }
    }

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static IEnumerable<Type> Constraints(IEnumerable<Type> arguments) =>
        arguments.Where(a => a.IsGenericParameter).SelectMany(a => a.GetGenericParameterConstraints());

    /// <summary>The type itself and every type inside it: element types and generic arguments, at any depth.</summary>
    private static IEnumerable<Type> Parts(Type type)
    {
        if (type.HasElementType)
        {
            return Parts(type.GetElementType()!);
        }

        return type.IsGenericType && !type.IsGenericTypeDefinition
            ? type.GetGenericArguments().SelectMany(Parts).Prepend(type.GetGenericTypeDefinition())
            : [type];
    }

#pragma warning disable CS0067, CS0649, CA1051, CA1822 // A specimen: it only has signatures.
    private class Leaky(FSharpOption<int> constructor) : List<FSharpList<int>>, IEquatable<FSharpOption<int>>
    {
        public FSharpMap<string, int>? Field;

        public event Action<FSharpSet<int>>? Event;

        public FSharpOption<int> Property { get; } = constructor;

        public Func<int, List<FSharpOption<string>>>? Nested => null;

        public FSharpList<int>[]? Array => null;

        public Core.Activation? Core => null;

        public void Method(FSharpOption<int> x) => _ = x;

        public void Constraint<T>()
            where T : Core.NativeLoadException
        {
        }

        public bool Equals(FSharpOption<int>? other) => other == Property;

        public override bool Equals(object? obj) => obj is FSharpOption<int> other && Equals(other);

        public override int GetHashCode() => 0;

        protected FSharpOption<int>? Result() => null;
    }
#pragma warning restore CS0067, CS0649, CA1051, CA1822
}
