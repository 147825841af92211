using System.Net;

namespace Reft.Internal;

/// <summary>
/// One content from the hub into the cache. It grows in a file beside its place, which an interruption leaves and the next
/// run continues; only when size and hash are the stated ones does it take its place.
/// </summary>
internal sealed class BlobDownload(
    HubConnection connection, HubRetries retries, HubCache cache, HubOptions options, HubTally tally)
{
    /// <summary>A connection that brought so much before it broke counts as a success: large files may break often.</summary>
    private const long WorthAnotherRound = 16 << 20;
    private const int PieceBytes = 1 << 17;

    /// <summary>Downloads it if it is not there yet.</summary>
    /// <exception cref="HubException">The server refuses it, or its content is not what it stated.</exception>
    public async Task EnsureAsync(HubRepository repository, string commit, HubFile file, CancellationToken cancel)
    {
        var blob = cache.Blob(file.Etag);
        Directory.CreateDirectory(Path.GetDirectoryName(blob)!);
        var path = cache.Lock(file.Etag);
        void Waits() => tally.Say($"another process holds the lock of {file.Name}, {path}: waiting for it");
        using (await BlobLock.TakeAsync(path, Waits, cancel).ConfigureAwait(false))
        {
            // Another process may have brought it while this one waited.
            if (new FileInfo(blob) is { Exists: true, Length: var length } && length == file.Size)
            {
                return;
            }

            await DownloadAsync(repository, commit, file, cancel).ConfigureAwait(false);
            File.Move(cache.Incomplete(file.Etag), blob, overwrite: true);
        }
    }

    private async Task DownloadAsync(HubRepository repository, string commit, HubFile file, CancellationToken cancel)
    {
        var path = cache.Incomplete(file.Etag);
        for (var last = false; ; last = true)
        {
            if (await FetchAsync(repository, commit, file, path, cancel).ConfigureAwait(false) is not { } found)
            {
                return;
            }

            File.Delete(path);
            if (last)
            {
                throw new HubException(
                    $"{repository}: {file.Name} is not what the hub states, twice in a row: expected {file.Size} bytes with the hash {file.Etag}, found {found}. Nothing of it is kept");
            }
        }
    }

    // Null if the content is right, else what was found.
    private async Task<string?> FetchAsync(HubRepository repository, string commit, HubFile file, string path, CancellationToken cancel)
    {
        while (true)
        {
            var before = LengthOf(path);
            try
            {
                return await retries
                    .RunAsync(token => AttemptAsync(repository, commit, file, path, token), cancel)
                    .ConfigureAwait(false);
            }
            catch (HubException e) when (e.InnerException is TransientHubException && LengthOf(path) - before >= WorthAnotherRound)
            {
            }
        }
    }

    private async Task<string?> AttemptAsync(HubRepository repository, string commit, HubFile file, string path, CancellationToken cancel)
    {
        var output = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0, useAsync: true);
        await using (output.ConfigureAwait(false))
        {
            using var hash = new BlobHash(file.Etag, file.Size);
            if (output.Length > file.Size)
            {
                output.SetLength(0);
            }

            await HashAsync(output, hash, file, cancel).ConfigureAwait(false);
            if (output.Length < file.Size)
            {
                RequireSpace(file, path, file.Size - output.Length);
                if (await ContinueAsync(repository, commit, file, output, hash, cancel).ConfigureAwait(false) is { } found)
                {
                    return found;
                }
            }

            if (hash.Text() is var text && text != file.Etag)
            {
                return $"{output.Length} bytes with the {hash.Name} {text}";
            }

            output.Flush(flushToDisk: true);
            return null;
        }
    }

    private async Task<string?> ContinueAsync(
        HubRepository repository, string commit, HubFile file, FileStream output, BlobHash hash, CancellationToken cancel)
    {
        var request = HubRequest.Content(repository, commit, file.Name, output.Length);
        HubAnswer answer;
        try
        {
            answer = await connection.SendAsync(request, cancel).ConfigureAwait(false);
        }
        catch (TransientHubException e) when (e.StatusCode is HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            output.SetLength(0);
            throw;
        }

        using (answer)
        {
            var content = answer.Response.Content;
            if (answer.Response.StatusCode == HttpStatusCode.PartialContent)
            {
                var range = content.Headers.ContentRange;
                if (range?.From != output.Length || (range.Length is { } whole && whole != file.Size))
                {
                    return $"an answer for another range, '{HubNames.Shown(range?.ToString() ?? "none")}'";
                }
            }
            else if (output.Length > 0)
            {
                // The server sends the whole, whatever was asked for.
                output.SetLength(0);
                hash.Restart();
            }

            return await CopyAsync(request, content, file, output, hash, cancel).ConfigureAwait(false);
        }
    }

    private async Task<string?> CopyAsync(
        HubRequest request, HttpContent content, HubFile file, FileStream output, BlobHash hash, CancellationToken cancel)
    {
        var left = file.Size - output.Length;
        if (content.Headers.ContentLength is { } length && length != left)
        {
            return $"a body of {length} bytes where {left} are left";
        }

        using var clock = new StallClock(options.StallTimeout, cancel);
        var piece = new byte[PieceBytes];
        try
        {
            var body = await content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false);
            await using var _ = body.ConfigureAwait(false);
            while (await ReadAsync(request, body, piece, clock).ConfigureAwait(false) is > 0 and var read)
            {
                clock.Arrived(read);
                if (read > left)
                {
                    return $"more than {file.Size} bytes";
                }

                left -= read;
                hash.Append(piece.AsSpan(0, read));
                await output.WriteAsync(piece.AsMemory(0, read), cancel).ConfigureAwait(false);
                tally.Set(file, output.Length);
            }
        }
        catch (OperationCanceledException e) when (clock.Expired)
        {
            throw new TransientHubException(
                $"{request}: nothing came for {options.StallTimeout.TotalSeconds:0.#} s, after {output.Length} of {file.Size} bytes", cause: e);
        }

        return left == 0
            ? null
            : throw new TransientHubException($"{request}: the connection ended after {output.Length} of {file.Size} bytes");
    }

    // What goes wrong with the network may pass; what goes wrong with the disk does not.
    private static async Task<int> ReadAsync(HubRequest request, Stream body, byte[] piece, StallClock clock)
    {
        try
        {
            return await body.ReadAsync(piece, clock.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw new TransientHubException($"{request}: the connection broke: {e.Message.TrimEnd('.')}", cause: e);
        }
    }

    private async Task HashAsync(FileStream existing, BlobHash hash, HubFile file, CancellationToken cancel)
    {
        var piece = new byte[PieceBytes];
        while (await existing.ReadAsync(piece, cancel).ConfigureAwait(false) is > 0 and var read)
        {
            hash.Append(piece.AsSpan(0, read));
            tally.Set(file, existing.Position);
        }
    }

    private static void RequireSpace(HubFile file, string path, long bytes)
    {
        if (FreeBytes(path) is { } free && free < bytes)
        {
            throw new HubException($"{file.Name}: the disk of {Path.GetDirectoryName(path)} has {free} bytes left, {bytes} are needed");
        }
    }

    // Not every file system tells.
    private static long? FreeBytes(string path)
    {
        try
        {
            return new DriveInfo(Path.GetDirectoryName(path)!).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    private static long LengthOf(string path) => new FileInfo(path) is { Exists: true } file ? file.Length : 0;
}
