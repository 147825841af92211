using Reft.Internal;

namespace Reft;

/// <summary>Models of the Hugging Face hub, by way of the cache that Python's <c>huggingface_hub</c> uses too.</summary>
public static class ModelHub
{
    /// <summary>
    /// Fetches what of a model the cache does not hold: configuration, tokenizer and safetensors weights, nothing else. Each
    /// file is checked against the size and the hash that the hub states; an interrupted download is continued by the next
    /// call. If the hub gives no answer, or 408, 429 or 5xx to every try, what the cache holds of that revision is used, and the progress hears of it.
    /// </summary>
    /// <param name="repository">Which model.</param>
    /// <param name="options">How; what they leave open comes from the environment.</param>
    /// <param name="cancellationToken">Ends the download, which keeps what has come.</param>
    /// <returns>The folder of the model, which <see cref="ReftModel.Load(string, ModelOptions)"/> takes.</returns>
    /// <exception cref="HubException">
    /// There is no such model, it needs an access token, it has no safetensors weights, the hub cannot be reached, or a file
    /// is not what the hub states.
    /// </exception>
    /// <exception cref="ArgumentException">An option or a variable of the environment cannot be used.</exception>
    /// <exception cref="IOException">The cache cannot be written.</exception>
    public static async Task<string> DownloadAsync(
        HubRepository repository, HubOptions? options = null, CancellationToken cancellationToken = default)
    {
        var settings = HubSettings.Of(options ?? new HubOptions());
        var cache = new HubCache(settings.CacheFolder, repository);
        if (settings.Offline)
        {
            return Cached(repository, cache, out var problem)
                ?? throw new HubException($"{repository} is not in the cache and the network is not to be used (offline): {problem}. Load it once online");
        }

        using var connection = new HubConnection(settings);
        var tally = new HubTally(repository, settings.Options.Progress);
        var session = new HubSession(repository, settings, connection, cache, tally);
        HubListing listing;
        try
        {
            listing = await session.ListAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (HubException e) when (e.Unreachable)
        {
            if (Cached(repository, cache, out _) is { } folder)
            {
                tally.Say($"the hub cannot be used ({e.Message}): {repository} is taken from the cache as it was");
                return folder;
            }

            throw;
        }

        return await session.FetchAsync(listing, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// The folder of a model: a folder that exists is taken as it is, everything else as a name on the hub, which
    /// <see cref="DownloadAsync"/> fetches.
    /// </summary>
    /// <param name="nameOrFolder">A folder, or <c>org/name</c>, <c>org/name@revision</c>, <c>name</c>.</param>
    /// <param name="options">How it is fetched.</param>
    /// <param name="cancellationToken">Ends a download, which keeps what has come.</param>
    /// <exception cref="FileNotFoundException">It is neither a folder nor a name.</exception>
    /// <exception cref="HubException">It cannot be fetched.</exception>
    /// <exception cref="ArgumentException">An option or a variable of the environment cannot be used.</exception>
    public static async Task<string> FolderAsync(
        string nameOrFolder, HubOptions? options = null, CancellationToken cancellationToken = default)
    {
        if (Directory.Exists(nameOrFolder))
        {
            return nameOrFolder;
        }

        if (!HubRepository.TryParse(nameOrFolder, out var repository))
        {
            throw new FileNotFoundException(
                $"'{HubNames.Shown(nameOrFolder)}' is neither a folder nor the name of a model on the hub: expected a folder with config.json, or org/name",
                nameOrFolder);
        }

        try
        {
            return await DownloadAsync(repository, options, cancellationToken).ConfigureAwait(false);
        }
        catch (HubException e)
        {
            // A slip in a path looks like a name.
            throw new HubException($"{e.Message} (there is no folder '{nameOrFolder}' here, so it is a name on the hub)", e)
            {
                StatusCode = e.StatusCode,
            };
        }
    }

    private static string? Cached(HubRepository repository, HubCache cache, out string problem)
    {
        if (cache.KnownCommit() is not { } commit)
        {
            problem = $"{cache.Folder} knows no revision '{repository.Revision}'";
            return null;
        }

        var folder = cache.Snapshot(commit);
        var missing = ModelFiles.Missing(repository, folder);
        problem = $"{folder} lacks {string.Join(", ", missing)}";
        return missing.Count == 0 ? folder : null;
    }
}
