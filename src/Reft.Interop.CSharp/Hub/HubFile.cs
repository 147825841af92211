namespace Reft.Internal;

/// <summary>A file as the hub describes it: the size and the hash that its content must have.</summary>
internal sealed record HubFile(string Name, long Size, string Etag)
{
    /// <summary>More than any configuration or tokenizer has; weights are bounded by the disk alone.</summary>
    private const long MostBytesBesideWeights = 256L << 20;

    /// <summary>Takes the facts from the head of an answer.</summary>
    /// <exception cref="HubException">One is missing, or is nothing that a file could have.</exception>
    public static HubFile Of(HubRequest request, string commit, HubAnswer answer)
    {
        var name = request.File!;
        if (answer.Commit is { } found && found != commit)
        {
            throw new HubException($"{request}: expected commit {commit}, found {HubNames.Shown(found)}");
        }

        var etag = Plain(answer.Etag);
        return
            !HubNames.IsEtag(etag)
                ? throw new HubException($"{request}: expected a git SHA-1 or a SHA-256 as the file's ETag, found '{HubNames.Shown(etag ?? "none")}': its content could not be checked")
            : answer.Size is not { } size || size < 0
                ? throw new HubException($"{request}: the server does not say how large the file is")
            : size > MostBytesBesideWeights && !name.EndsWith(".safetensors", StringComparison.Ordinal)
                ? throw new HubException($"{request}: expected at most {MostBytesBesideWeights} bytes, the server says {size}")
            : new HubFile(name, size, etag!);
    }

    // W/"abc" or "abc".
    private static string? Plain(string? etag) =>
        etag is null ? null : (etag.StartsWith("W/", StringComparison.Ordinal) ? etag[2..] : etag).Trim('"');
}
