using System.Text.Json;

namespace Reft.Internal;

/// <summary>What a revision stands for: its commit, and the names of its files as the server gives them, unchecked.</summary>
internal sealed record HubListing(string Commit, IReadOnlySet<string> Files)
{
    private const int MostBytes = 16 << 20;

    /// <summary>Reads the answer, of a bounded size.</summary>
    public static async Task<HubListing> ReadAsync(HubRequest request, Stream body, StallClock clock)
    {
        // Nothing is allocated for a size that is only claimed.
        var buffer = new MemoryStream();
        var piece = new byte[1 << 16];
        while (await body.ReadAsync(piece, clock.Token).ConfigureAwait(false) is > 0 and var read)
        {
            clock.Arrived(read);
            if (buffer.Length + read > MostBytes)
            {
                throw new HubException($"{request}: the list of files has more than {MostBytes >> 20} MiB");
            }

            buffer.Write(piece, 0, read);
        }

        return Parse(request, buffer.GetBuffer().AsMemory(0, (int)buffer.Length));
    }

    private static HubListing Parse(HubRequest request, ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 32 });
            var root = document.RootElement;
            var commit = root.GetProperty("sha").GetString();
            return HubNames.IsCommit(commit)
                ? new HubListing(
                    commit!,
                    root.GetProperty("siblings").EnumerateArray()
                        .Select(sibling => sibling.GetProperty("rfilename").GetString() ?? "")
                        .ToHashSet(StringComparer.Ordinal))
                : throw new HubException($"{request}: expected a commit hash in the server's 'sha', found '{HubNames.Shown(commit ?? "null")}'");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new HubException($"{request}: the server's answer is no list of a model's files: expected JSON with 'sha' and 'siblings'", e);
        }
    }
}
