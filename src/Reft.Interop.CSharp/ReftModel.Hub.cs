namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Loads a model by its folder or by its name on the Hugging Face hub, from where it is fetched into the cache if it is
    /// not there yet; see <see cref="ModelHub"/>.
    /// </summary>
    /// <param name="nameOrFolder">
    /// A folder that exists, else <c>org/name</c>, <c>org/name@revision</c>, or <c>name</c> where it has no organisation.
    /// </param>
    /// <param name="options">How it is loaded.</param>
    /// <param name="hub">How it is fetched; what it leaves open comes from the environment.</param>
    /// <param name="cancellationToken">Ends a download, which the next call continues.</param>
    /// <exception cref="HubException">It cannot be fetched; the message says why, and what would help.</exception>
    /// <exception cref="FileNotFoundException">It is neither a folder nor a name, or the folder lacks a file.</exception>
    /// <exception cref="InvalidDataException">The configuration or the weights are damaged, or of a kind that is not supported.</exception>
    /// <exception cref="ArgumentException">The options name no device, or an option or variable of the hub cannot be used.</exception>
    /// <exception cref="InvalidOperationException">The options name a device that this machine has not.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task<ReftModel> LoadAsync(
        string nameOrFolder, ModelOptions? options = null, HubOptions? hub = null, CancellationToken cancellationToken = default)
    {
        var folder = await ModelHub.FolderAsync(nameOrFolder, hub, cancellationToken).ConfigureAwait(false);
        return await Task.Run(() => Load(folder, options), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Loads a model by its folder or by its name on the hub and attaches a spec, with fresh parameters.</summary>
    /// <param name="nameOrFolder">As <see cref="LoadAsync(string, ModelOptions, HubOptions, CancellationToken)"/> takes it.</param>
    /// <param name="spec">What to attach where.</param>
    /// <param name="options">How it is loaded.</param>
    /// <param name="hub">How it is fetched.</param>
    /// <param name="cancellationToken">Ends a download, which the next call continues.</param>
    /// <exception cref="HubException">It cannot be fetched; the message says why, and what would help.</exception>
    /// <exception cref="FileNotFoundException">It is neither a folder nor a name, or the folder lacks a file.</exception>
    /// <exception cref="InvalidDataException">A file is damaged, or of a kind that is not supported.</exception>
    /// <exception cref="ArgumentException">The spec cannot act on the model: the message says what would do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task<ReftModel> LoadAsync(
        string nameOrFolder,
        ReftSpec spec,
        ModelOptions? options = null,
        HubOptions? hub = null,
        CancellationToken cancellationToken = default)
    {
        var folder = await ModelHub.FolderAsync(nameOrFolder, hub, cancellationToken).ConfigureAwait(false);
        return await Task.Run(() => Load(folder, spec, options), cancellationToken).ConfigureAwait(false);
    }
}
