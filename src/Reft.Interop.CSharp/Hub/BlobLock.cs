namespace Reft.Internal;

/// <summary>
/// A lock file, so that two processes do not write one blob. On Unix it is <c>flock</c>, which <c>huggingface_hub</c> uses
/// too; the system frees it when a process ends in whatever way.
/// </summary>
internal static class BlobLock
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>What an open gives where another holds the lock: on Windows the sharing violation, on Unix flock's EWOULDBLOCK.</summary>
    private static readonly int Held =
        OperatingSystem.IsWindows() ? unchecked((int)0x80070020)
        : OperatingSystem.IsMacOS() || OperatingSystem.IsFreeBSD() ? 35
        : 11;

    /// <summary>Waits for the lock; dispose of the result to give it back.</summary>
    /// <param name="path">The lock file.</param>
    /// <param name="onWait">Called once if another holds it.</param>
    /// <param name="cancel">Ends the wait.</param>
    /// <exception cref="IOException">The file cannot be opened, for another reason than that it is held.</exception>
    public static async Task<IDisposable> TakeAsync(string path, Action onWait, CancellationToken cancel)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        for (var waits = false; ; waits = true)
        {
            cancel.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (e.HResult == Held)
            {
                if (!waits)
                {
                    onWait();
                }

                await Task.Delay(Pause, cancel).ConfigureAwait(false);
            }
            catch (IOException e) when (e is not (DirectoryNotFoundException or FileNotFoundException or PathTooLongException))
            {
                throw new IOException($"the lock file {path} of a download cannot be opened: {e.Message}", e);
            }
        }
    }
}
