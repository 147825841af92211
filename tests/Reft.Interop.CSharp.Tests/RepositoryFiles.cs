namespace Reft.Tests;

/// <summary>Files of this repository, found by walking up from the test assembly.</summary>
internal static class RepositoryFiles
{
    /// <summary>The folder that holds Reft.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The full path of a file named relative to the root of the repository.</summary>
    public static string At(string relativePath) => Path.Combine(Root, relativePath);

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Reft.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName
            ?? throw new DirectoryNotFoundException($"No folder above {AppContext.BaseDirectory} holds Reft.sln.");
    }
}
