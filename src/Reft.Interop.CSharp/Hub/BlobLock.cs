namespace Reft.Internal;

/// <summary>
/// A lock file, so that two processes do not write one blob. On Unix it is <c>flock</c>, which <c>huggingface_hub</c> uses
/// too; the system frees it when a process ends in whatever way.
/// </summary>
internal static class BlobLock
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Waits for the lock; dispose of the result to give it back.</summary>
    public static async Task<IDisposable> TakeAsync(string path, CancellationToken cancel)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (e.GetType() == typeof(IOException) && File.Exists(path))
            {
                await Task.Delay(Pause, cancel).ConfigureAwait(false);
            }
        }
    }
}
