namespace Reft.Internal;

/// <summary>What tells that a file was changed.</summary>
internal readonly record struct FileStamp(long Length, DateTime Written)
{
    public static FileStamp Of(string path)
    {
        var info = new FileInfo(path);
        return info.Exists ? new(info.Length, info.LastWriteTimeUtc) : default;
    }

    /// <exception cref="InvalidDataException">The file is not what it was.</exception>
    public void Check(string path)
    {
        var found = Of(path);
        if (found != this)
        {
            throw new InvalidDataException(
                found == default
                    ? $"{path}: the file was removed while its rows were in use: expected it to stay as it was"
                    : $"{path}: the file was changed while its rows were in use: expected {Length} bytes written at {Written:O}, found {found.Length} bytes written at {found.Written:O}");
        }
    }
}
