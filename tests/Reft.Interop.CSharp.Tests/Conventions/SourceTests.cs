using System.Text.RegularExpressions;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Conventions;

/// <summary>
/// Two natives of TorchSharp lack its exception guard: a wrong shape or graph ends the process. One file of the tensor
/// layer owns each, behind a check; everything else goes through that file.
/// </summary>
public static class SourceTests
{
    /// <summary>No stray use of the unguarded natives.</summary>
    [Tests]
    public static readonly Test UnguardedNatives = Runner.TestList(
        "Source",
        [
            Runner.TestCase("torch.autograd.grad stays in one guarded file", () => OwnedByOneFile(@"\bautograd\.grad\b")),
            Runner.TestCase("Tensor.matmul stays in one guarded file", () => OwnedByOneFile(@"(?<!\bdsharp)\.matmul\b")),
            Runner.TestCase("every project imports Paket's targets only where they exist", PaketImportsAreConditional),
            Runner.TestCase("paket.lock names no registry", LockNamesNoRegistry),
        ]);

    private static void OwnedByOneFile(string pattern)
    {
        const string TensorLayer = "src/Reft.Core/Tensors/";
        var files = SourceFiles("src", "*.fs", "*.cs")
            .Where(file => File.ReadLines(RepositoryFiles.At(file)).Any(line => Regex.IsMatch(CodeOf(line), pattern)))
            .ToArray();
        var strays = files.Where(file => !file.StartsWith(TensorLayer, StringComparison.Ordinal)).ToArray();
        if (strays.Length > 0 || files.Length > 1)
        {
            throw new InvalidOperationException(
                $"{pattern} aborts the process on a wrong shape; use the guarded function under {TensorLayer}. Found in: "
                + string.Join(", ", strays.Length > 0 ? strays : files));
        }
    }

    private static void PaketImportsAreConditional()
    {
        var bare = SourceFiles(".", "*.fsproj", "*.csproj")
            .Where(file => !Regex.IsMatch(
                File.ReadAllText(RepositoryFiles.At(file)),
                @"<Import Project=""[^""]*\.paket/Paket\.Restore\.targets"" Condition=""Exists\("))
            .ToArray();
        if (bare.Length > 0)
        {
            throw new InvalidOperationException(
                $"A fresh clone could not open {string.Join(", ", bare)}: the import of .paket/Paket.Restore.targets needs "
                + "its Condition back (`paket install` strips it; use `dotnet fsi build.fsx update-packages`).");
        }
    }

    private static void LockNamesNoRegistry()
    {
        var remotes = File.ReadLines(RepositoryFiles.At("paket.lock"))
            .Where(line => line.TrimStart().StartsWith("remote:", StringComparison.Ordinal))
            .Select(line => line.Trim())
            .ToArray();
        if (remotes.Length == 0 || remotes.Any(remote => remote != "remote: %NUGET_FEED%"))
        {
            throw new InvalidOperationException(
                $"expected `remote: %NUGET_FEED%` alone in paket.lock, found: {string.Join(", ", remotes)}");
        }
    }

    private static string CodeOf(string line) => line.Split("//", 2)[0];

    private static IEnumerable<string> SourceFiles(string folder, params string[] patterns) =>
        from pattern in patterns
        from file in Directory.EnumerateFiles(RepositoryFiles.At(folder), pattern, SearchOption.AllDirectories)
        let relative = Path.GetRelativePath(RepositoryFiles.Root, file).Replace('\\', '/')
        where !Regex.IsMatch(relative, @"(^|/)(bin|obj|artifacts|node_modules)/")
        select relative;
}
