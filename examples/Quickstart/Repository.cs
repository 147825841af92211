namespace Quickstart;

/// <summary>Where things lie in the repository, and how they are shown.</summary>
internal static class Repository
{
    /// <summary>The folder that holds the base model, above the program's own.</summary>
    /// <exception cref="DirectoryNotFoundException">The program is not in a clone of the repository.</exception>
    public static string Root()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "models", "base-3.8m", "config.json")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException(
            $"no folder above {AppContext.BaseDirectory} holds models/base-3.8m: run the quickstart inside a clone of the repository");
    }

    /// <summary>A text on one line, in quotation marks.</summary>
    public static string Quoted(string text) => $"\"{text.Replace("\n", "\\n", StringComparison.Ordinal)}\"";

    /// <summary>The size of the files of a folder.</summary>
    public static long Bytes(string folder) => new DirectoryInfo(folder).EnumerateFiles().Sum(file => file.Length);
}
