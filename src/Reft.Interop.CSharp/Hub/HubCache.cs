using System.Text;

namespace Reft.Internal;

/// <summary>
/// One repository in the cache, laid out as <c>huggingface_hub</c> does: <c>blobs/ETAG</c> hold contents,
/// <c>snapshots/COMMIT/FILE</c> are links to them, <c>refs/REVISION</c> hold commits, and locks stand beside all repositories.
/// </summary>
internal sealed class HubCache(string cacheFolder, HubRepository repository)
{
    private const int LongestRef = 100;

    private readonly string _name = "models--" + repository.Name.Replace("/", "--", StringComparison.Ordinal);

    /// <summary>The repository's folder.</summary>
    public string Folder => Path.Combine(cacheFolder, _name);

    /// <summary>Where a commit's files stand.</summary>
    public string Snapshot(string commit) => Path.Combine(Folder, "snapshots", commit);

    /// <summary>Where a content stands.</summary>
    public string Blob(string etag) => Path.Combine(Folder, "blobs", etag);

    /// <summary>Where it grows until it is complete.</summary>
    public string Incomplete(string etag) => Blob(etag) + ".incomplete";

    /// <summary>What a process holds while it downloads that content.</summary>
    public string Lock(string etag) => Path.Combine(cacheFolder, ".locks", _name, etag + ".lock");

    /// <summary>Whether a file is there with its content: a link whose blob was deleted is not.</summary>
    public static bool Holds(string folder, string file)
    {
        var path = Path.Combine(folder, file);
        return File.Exists(path) && (File.ResolveLinkTarget(path, returnFinalTarget: true)?.Exists ?? true);
    }

    /// <summary>The commit of the repository's revision as far as the cache knows; null where it does not.</summary>
    public string? KnownCommit()
    {
        if (HubNames.IsCommit(repository.Revision))
        {
            return repository.Revision;
        }

        var file = new FileInfo(Ref());
        if (!file.Exists || file.Length > LongestRef)
        {
            return null;
        }

        var commit = File.ReadAllText(file.FullName).Trim();
        return HubNames.IsCommit(commit) ? commit : null;
    }

    /// <summary>Notes which commit a branch or a tag stands for.</summary>
    public void Remember(string commit)
    {
        if (repository.Revision != commit && KnownCommit() != commit)
        {
            Action<Stream> write = stream => stream.Write(Encoding.ASCII.GetBytes(commit));
            Core.AtomicFile.write(Ref(), write.ToFSharpFunc());
        }
    }

    /// <summary>Shows a blob under its file's name: a relative link, so that the cache can be moved; a copy where links are not allowed.</summary>
    public void Show(string commit, string file, string etag)
    {
        var folder = Directory.CreateDirectory(Snapshot(commit)).FullName;
        var temporary = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp");
        try
        {
            try
            {
                File.CreateSymbolicLink(temporary, Path.Combine("..", "..", "blobs", etag));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or PlatformNotSupportedException)
            {
                File.Copy(Blob(etag), temporary);
            }

            // A rename, so that a reader never finds the name half made; it replaces a link whose blob was deleted.
            File.Move(temporary, Path.Combine(folder, file), overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private string Ref() => Path.Combine([Folder, "refs", .. repository.Revision.Split('/')]);
}
