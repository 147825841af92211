using System.Reflection;
using Expecto;
using Expecto.CSharp;
using Microsoft.FSharp.Reflection;
using PublicApiGenerator;

namespace Reft.Tests.Conventions;

/// <summary>
/// The public API of each packed assembly equals its approved file, so that no change of it goes unseen in a review.
/// </summary>
public static class PublicApiTests
{
    private const string AcceptVariable = "REFT_ACCEPT_API";

    /// <summary>One approved file per packed assembly.</summary>
    [Tests]
    public static readonly Test ApprovedApi = Runner.TestList(
        "Public API",
        [
            Runner.TestCase("Reft.Core equals its approved file", () => Approve("Reft.Core")),
            Runner.TestCase("Reft.Interop.CSharp equals its approved file", () => Approve("Reft.Interop.CSharp")),
            Runner.TestCase("the diff names what was added and what was lost", DiffNamesChanges),
        ]);

    private static readonly ApiGeneratorOptions Options = new()
    {
        // Marks that the compilers put on every type, and what changes with each build.
        ExcludeAttributes =
        [
            "Microsoft.FSharp.Core.CompilationMappingAttribute",
            "Microsoft.FSharp.Core.CompilationArgumentCountsAttribute",
            "System.Reflection.AssemblyMetadataAttribute",
            "System.Diagnostics.DebuggerDisplayAttribute",
            "System.Diagnostics.DebuggerTypeProxyAttribute",
            "System.Diagnostics.CodeAnalysis.DynamicDependencyAttribute",
            "System.SerializableAttribute",
            "System.Runtime.CompilerServices.NullableAttribute",
            "System.Runtime.CompilerServices.NullableContextAttribute",
        ],
        IncludeAssemblyAttributes = false,
    };

    private static void Approve(string assemblyName)
    {
        var file = RepositoryFiles.At($"tests/PublicApi.{assemblyName}.approved.txt");
        var assembly = Assembly.Load(assemblyName);
        var actual = assembly.GeneratePublicApi(Options).ReplaceLineEndings("\n").TrimEnd() + "\n" + UnionCases(assembly);
        if (Environment.GetEnvironmentVariable(AcceptVariable) == "1")
        {
            File.WriteAllText(file, actual);
            return;
        }

        var approved = File.Exists(file) ? File.ReadAllText(file).ReplaceLineEndings("\n") : "";
        if (approved == actual)
        {
            return;
        }

        var diff = string.Join('\n', LineDiff.Between(approved, actual));
        throw new InvalidOperationException(
            $"The public API of {assemblyName} differs from tests/{Path.GetFileName(file)}:\n{diff}\n"
            + $"If this is meant, accept it with: {AcceptVariable}=1 dotnet fsi build.fsx test\nand commit the file.");
    }

    /// <summary>
    /// The cases of the F# unions with the types that they hold, which the generator takes for compiler-made members.
    /// </summary>
    private static string UnionCases(Assembly assembly) => string.Concat(
        from type in assembly.GetExportedTypes()
        // A case that holds values is a nested class and counts as a union of its own.
        where FSharpType.IsUnion(type, null) && type.BaseType == typeof(object)
        orderby type.FullName
        from unionCase in FSharpType.GetUnionCases(type, null)
        let fields = unionCase.GetFields().Select(field => $"{field.Name}: {field.PropertyType}")
        select $"union case {type}.{unionCase.Name}({string.Join(", ", fields)})\n");

    private static void DiffNamesChanges()
    {
        string[] expected = ["- b", "+ x", "+ d"];
        var actual = LineDiff.Between("a\nb\nc", "a\nx\nc\nd").ToArray();
        if (!actual.SequenceEqual(expected))
        {
            throw new InvalidOperationException($"expected {string.Join(", ", expected)}, found {string.Join(", ", actual)}");
        }
    }
}
