using System.Text.RegularExpressions;

namespace Reft.Internal;

/// <summary>Which names of the hub may become part of a path or an address. Everything that a server says is checked here.</summary>
internal static partial class HubNames
{
    private const int LongestFile = 200;
    private const int LongestRevision = 200;
    private const int LongestShown = 200;

    /// <summary><c>org/name</c> or <c>name</c>, by the rules of the hub.</summary>
    public static bool IsRepository(string name) =>
        name.Split('/') is { Length: 1 or 2 } parts && parts.All(IsRepositoryPart);

    /// <summary>A branch (which may have slashes), a tag or a commit.</summary>
    public static bool IsRevision(string revision) =>
        revision.Length is > 0 and <= LongestRevision && revision.Split('/').All(IsPlainFile);

    /// <summary>A whole commit hash.</summary>
    public static bool IsCommit(string? text) => text is not null && Commit().IsMatch(text);

    /// <summary>The hash of a blob: SHA-1 of a git blob, or SHA-256 of a large file's content.</summary>
    public static bool IsEtag(string? text) => text is not null && Etag().IsMatch(text);

    /// <summary>
    /// The name of a file in the repository's own folder that is a file's name on every system: no separator, no <c>..</c>,
    /// no drive, control character or device, not hidden.
    /// </summary>
    public static bool IsPlainFile(string name) =>
        name.Length is > 0 and <= LongestFile
        && PlainFile().IsMatch(name)
        && !name.Contains("..", StringComparison.Ordinal)
        && !name.EndsWith('.')
        && !Device().IsMatch(name);

    /// <summary>A text of a server's or a user's, fit for a message: one line, bounded, no control character.</summary>
    public static string Shown(string text)
    {
        var plain = new string([.. text.Take(LongestShown).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c)]);
        return text.Length > LongestShown ? plain + "…" : plain;
    }

    private static bool IsRepositoryPart(string part) =>
        RepositoryPart().IsMatch(part)
        && !part.Contains("..", StringComparison.Ordinal)
        && !part.Contains("--", StringComparison.Ordinal)
        && !part.EndsWith(".git", StringComparison.OrdinalIgnoreCase);

    // \z, not $: that one allows a line break at the end.
    [GeneratedRegex(@"\A[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?\z")]
    private static partial Regex RepositoryPart();

    [GeneratedRegex(@"\A[A-Za-z0-9_][A-Za-z0-9._+-]*\z")]
    private static partial Regex PlainFile();

    [GeneratedRegex(@"\A[0-9a-f]{40}\z")]
    private static partial Regex Commit();

    [GeneratedRegex(@"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\z")]
    private static partial Regex Etag();

    [GeneratedRegex(@"\A(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\z)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Device();
}
