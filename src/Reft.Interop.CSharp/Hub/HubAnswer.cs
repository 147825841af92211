namespace Reft.Internal;

/// <summary>An answer whose body is not read yet, with what the hub said on the way to it.</summary>
internal sealed class HubAnswer(HttpResponseMessage response, string? commit, string? linkedEtag, string? linkedSize) : IDisposable
{
    /// <summary>The last answer of a chain of redirects.</summary>
    public HttpResponseMessage Response => response;

    /// <summary>The commit that the file is of.</summary>
    public string? Commit => commit;

    /// <summary>The content's hash: the linked file's, else the answer's own.</summary>
    public string? Etag => linkedEtag ?? One(response, "ETag");

    /// <summary>The content's size: the linked file's, else the answer's own.</summary>
    public long? Size =>
        linkedSize is null ? (response.IsSuccessStatusCode ? response.Content.Headers.ContentLength : null)
        : long.TryParse(linkedSize, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var size) ? size
        : null;

    /// <summary>A header that comes once; null where it does not.</summary>
    public static string? One(HttpResponseMessage response, string header) =>
        response.Headers.TryGetValues(header, out var values) && values.ToArray() is [var only] ? only : null;

    public void Dispose() => response.Dispose();
}
