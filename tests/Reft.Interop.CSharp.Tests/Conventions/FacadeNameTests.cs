using System.Reflection;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Conventions;

/// <summary>A program may use both namespaces, Reft and Reft.Core.</summary>
public static class FacadeNameTests
{
    /// <summary>Names that both have on purpose: C# and F# should read alike here.</summary>
    private static readonly string[] Shared = ["Positions"];

    /// <summary>No type has the name of one of Reft.Core.</summary>
    [Tests]
    public static readonly Test Names = Runner.TestList(
        "Facade names",
        [
            Runner.TestCase("no type has the name of one of Reft.Core", () => Check.Same(
                Shared, TypesOf("Reft.Interop.CSharp").Intersect(TypesOf("Reft.Core")), "names of both")),
        ]);

    private static IEnumerable<string> TypesOf(string assembly) =>
        Assembly.Load(assembly).GetExportedTypes().Where(type => !type.IsNested).Select(type => type.Name);
}
