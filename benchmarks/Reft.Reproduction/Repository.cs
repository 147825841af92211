namespace Reft.Reproduction;

/// <summary>This repository on the disk.</summary>
internal static class Repository
{
    /// <summary>Its root, above the folder where the program is or is run.</summary>
    public static string Root()
    {
        foreach (var start in new[] { AppContext.BaseDirectory, Directory.GetCurrentDirectory() })
        {
            for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Reft.sln")))
                {
                    return folder.FullName;
                }
            }
        }

        throw new DirectoryNotFoundException("Reft.sln was not found above the program or the current folder");
    }
}
