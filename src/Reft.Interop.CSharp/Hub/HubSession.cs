namespace Reft.Internal;

/// <summary>One model on its way from the hub into the cache.</summary>
internal sealed class HubSession(
    HubRepository repository, HubSettings settings, HubConnection connection, HubCache cache, HubTally tally)
{
    /// <summary>Files on their way at once: one connection seldom fills the line.</summary>
    private const int Connections = 4;

    private readonly HubRetries _retries = new(settings.Options);

    /// <summary>Asks for the commit of the revision and the names of its files.</summary>
    public Task<HubListing> ListAsync(CancellationToken cancel)
    {
        var request = HubRequest.Listing(repository);
        return _retries.RunAsync(
            async token =>
            {
                using var answer = await connection.SendAsync(request, token).ConfigureAwait(false);
                using var clock = new StallClock(settings.Options.StallTimeout, token);
                try
                {
                    var body = await answer.Response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false);
                    return await HubListing.ReadAsync(request, body, clock).ConfigureAwait(false);
                }
                catch (OperationCanceledException e) when (clock.Expired)
                {
                    throw new TransientHubException($"{request}: the list of files stopped coming", cause: e);
                }
                catch (Exception e) when (e is IOException and not HubException or HttpRequestException)
                {
                    throw new TransientHubException($"{request}: {e.Message.TrimEnd('.')}", cause: e);
                }
            },
            cancel);
    }

    /// <summary>Fetches what the cache lacks; gives the folder of the snapshot.</summary>
    public async Task<string> FetchAsync(HubListing listing, CancellationToken cancel)
    {
        // Weights come last: a snapshot that has them has the rest too.
        var first = ModelFiles.BeforeWeights(repository, listing.Files);
        var single = listing.Files.Contains(ModelFiles.Weights);
        var known = await FactsAsync(listing.Commit, [.. first, .. single ? new[] { ModelFiles.Weights } : []], cancel).ConfigureAwait(false);
        await DownloadAsync(listing.Commit, known.Where(file => file.Name != ModelFiles.Weights), cancel).ConfigureAwait(false);

        var weights = single ? known.Where(file => file.Name == ModelFiles.Weights) : await ShardsAsync(listing, cancel).ConfigureAwait(false);
        await DownloadAsync(listing.Commit, weights, cancel).ConfigureAwait(false);
        cache.Remember(listing.Commit);
        return cache.Snapshot(listing.Commit);
    }

    private Task<IReadOnlyList<HubFile>> ShardsAsync(HubListing listing, CancellationToken cancel)
    {
        var shards = ModelFiles.Shards(repository, Path.Combine(cache.Snapshot(listing.Commit), ModelFiles.Index));
        return shards.FirstOrDefault(shard => !listing.Files.Contains(shard)) is { } absent
            ? throw new HubException($"{repository}: {ModelFiles.Index} names '{absent}', which the repository does not hold")
            : FactsAsync(listing.Commit, shards, cancel);
    }

    /// <summary>Size and hash of the files that the snapshot lacks.</summary>
    private async Task<IReadOnlyList<HubFile>> FactsAsync(string commit, IReadOnlyList<string> names, CancellationToken cancel)
    {
        var missing = names.Where(name => !HubCache.Holds(cache.Snapshot(commit), name)).ToArray();
        var found = new HubFile[missing.Length];
        await Parallel.ForAsync(0, missing.Length, Limits(cancel), async (i, token) =>
        {
            var request = HubRequest.Facts(repository, commit, missing[i]);
            found[i] = await _retries.RunAsync(
                async attempt =>
                {
                    using var answer = await connection.SendAsync(request, attempt).ConfigureAwait(false);
                    return HubFile.Of(request, commit, answer);
                },
                token).ConfigureAwait(false);
        }).ConfigureAwait(false);
        foreach (var file in found)
        {
            tally.Expect(file);
        }

        return found;
    }

    private Task DownloadAsync(string commit, IEnumerable<HubFile> files, CancellationToken cancel)
    {
        var download = new BlobDownload(connection, _retries, cache, settings.Options, tally);
        return Parallel.ForEachAsync(files, Limits(cancel), async (file, token) =>
        {
            await download.EnsureAsync(repository, commit, file, token).ConfigureAwait(false);
            cache.Show(commit, file.Name, file.Etag);
            tally.Complete(file);
        });
    }

    private static ParallelOptions Limits(CancellationToken cancel) =>
        new() { MaxDegreeOfParallelism = Connections, CancellationToken = cancel };
}
