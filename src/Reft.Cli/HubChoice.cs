using System.CommandLine;

namespace Reft.Cli;

/// <summary>The options for models that are named rather than given as a folder.</summary>
internal sealed class HubChoice
{
    private readonly Option<string?> _revision =
        Values.Text("--revision", "REV", "The branch, tag or commit of a model on the hub; main where it is not given.");

    private readonly Option<bool> _offline =
        Values.Flag("--offline", "Take a model of the hub from the cache alone. HF_HUB_OFFLINE=1 does the same.");

    /// <summary>Both of them.</summary>
    public IEnumerable<Option> Options => [_revision, _offline];

    /// <summary>The model's folder; a name on the hub is fetched into the cache, which stderr shows.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="nameOrFolder">What the user calls the model.</param>
    /// <param name="cancel">Ends a download, which the next run continues.</param>
    public Task<string> FolderAsync(ParseResult parsed, string nameOrFolder, CancellationToken cancel = default)
    {
        var revision = parsed.GetValue(_revision);
        if (Directory.Exists(nameOrFolder))
        {
            return revision is null
                ? Task.FromResult(nameOrFolder)
                : throw new ArgumentException($"--revision is for models of the hub: '{nameOrFolder}' is a folder");
        }

        // Neither is more the user's word than the other.
        if (revision is not null && nameOrFolder.Contains('@', StringComparison.Ordinal))
        {
            throw new ArgumentException($"'{nameOrFolder}' names a revision already: give either that or --revision");
        }

        var name = revision is null || !HubRepository.TryParse(nameOrFolder, out var repository)
            ? nameOrFolder
            : repository.At(revision).ToString();
        var offline = parsed.GetValue(_offline);
        return HubDisplay.ShowAsync(name, progress => ModelHub.FolderAsync(
            name, new HubOptions { Offline = offline ? true : null, Progress = progress }, cancel));
    }
}
