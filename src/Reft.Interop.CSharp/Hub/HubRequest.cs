namespace Reft.Internal;

/// <summary>What is asked of the hub: an address below the endpoint, and what messages call it.</summary>
/// <param name="Method">GET or HEAD.</param>
/// <param name="Path">The path below the endpoint, escaped.</param>
/// <param name="Repository">The repository it is about.</param>
/// <param name="File">The file it is about; null for the repository itself.</param>
/// <param name="From">The first byte that is wanted; 0 for the whole.</param>
internal sealed record HubRequest(HttpMethod Method, string Path, HubRepository Repository, string? File = null, long From = 0)
{
    /// <summary>The repository's commit and its files.</summary>
    public static HubRequest Listing(HubRepository repository) =>
        new(HttpMethod.Get, $"api/models/{repository.Name}/revision/{Uri.EscapeDataString(repository.Revision)}", repository);

    /// <summary>A file's size and hash.</summary>
    public static HubRequest Facts(HubRepository repository, string commit, string file) =>
        new(HttpMethod.Head, Resolve(repository, commit, file), repository, file);

    /// <summary>A file's content.</summary>
    public static HubRequest Content(HubRepository repository, string commit, string file, long from) =>
        new(HttpMethod.Get, Resolve(repository, commit, file), repository, file, from);

    /// <summary>What messages call it.</summary>
    public override string ToString() => File is null ? Repository.ToString() : $"{Repository}: {File}";

    private static string Resolve(HubRepository repository, string commit, string file) =>
        $"{repository.Name}/resolve/{commit}/{Uri.EscapeDataString(file)}";
}
