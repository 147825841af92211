namespace Reft.Cli;

/// <summary>
/// Where an adapter will be saved. That it can be is found out before an hour of training, not after it; a run that saves
/// nothing leaves no empty folder, however it ends.
/// </summary>
internal sealed class OutputFolder
{
    private OutputFolder(string path) => Path = path;

    public string Path { get; }

    public static OutputFolder Prepare(string path)
    {
        if (File.Exists(path))
        {
            throw new IOException($"--output: expected a folder, found the file {path}");
        }

        var made = Missing(path);
        try
        {
            Directory.CreateDirectory(path);
            var probe = System.IO.Path.Combine(path, $".reft-{Guid.NewGuid():N}");
            File.Create(probe, 1, FileOptions.DeleteOnClose).Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"--output: cannot write into {path}: {e.Message}", e);
        }
        finally
        {
            foreach (var folder in made.Where(folder =>
                Directory.Exists(folder) && !Directory.EnumerateFileSystemEntries(folder).Any()))
            {
                Directory.Delete(folder);
            }
        }

        return new OutputFolder(path);
    }

    public void Save(ReftModel model) => model.SaveAdapter(Path);

    // The folder and those above it that are not there, from the innermost.
    private static List<string> Missing(string path)
    {
        var missing = new List<string>();
        for (var folder = new DirectoryInfo(path); folder is { Exists: false }; folder = folder.Parent)
        {
            missing.Add(folder.FullName);
        }

        return missing;
    }
}
