namespace Reft.Cli;

/// <summary>
/// Where an adapter will be saved. That it can be is found out before an hour of training, not after it; a run that saves
/// nothing leaves no empty folder.
/// </summary>
internal sealed class OutputFolder : IDisposable
{
    private readonly bool _isNew;
    private bool _saved;

    private OutputFolder(string path, bool isNew)
    {
        Path = path;
        _isNew = isNew;
    }

    public string Path { get; }

    public static OutputFolder Prepare(string path)
    {
        if (File.Exists(path))
        {
            throw new IOException($"--output: expected a folder, found the file {path}");
        }

        var isNew = !Directory.Exists(path);
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

        return new OutputFolder(path, isNew);
    }

    public void Save(ReftModel model)
    {
        model.SaveAdapter(Path);
        _saved = true;
    }

    public void Dispose()
    {
        if (_isNew && !_saved && Directory.Exists(Path) && !Directory.EnumerateFileSystemEntries(Path).Any())
        {
            Directory.Delete(Path);
        }
    }
}
