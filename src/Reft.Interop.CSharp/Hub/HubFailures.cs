using System.Net;

namespace Reft.Internal;

/// <summary>What an answer that is no success means, in words that help.</summary>
internal static class HubFailures
{
    private const int LeastRetry = 500;

    /// <summary>Passes a success on and throws for everything else.</summary>
    public static void ThrowUnlessSuccess(HubRequest request, HttpResponseMessage response, bool hasToken)
    {
        var status = response.StatusCode;
        if (status is HttpStatusCode.OK || (status is HttpStatusCode.PartialContent && request.From > 0))
        {
            var encodings = response.Content.Headers.ContentEncoding;
            if (encodings.Any(encoding => !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase)))
            {
                throw new HubException($"{request}: the server compressed its answer ({HubNames.Shown(string.Join(", ", encodings))}), which nobody asked for; nothing is decompressed here");
            }

            return;
        }

        // A part that lies beyond the file: whoever asked starts from zero.
        if (status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or HttpStatusCode.RequestedRangeNotSatisfiable
            || (int)status >= LeastRetry)
        {
            throw new TransientHubException($"{request}: the server answered {Words(response)}", RetryAfter(response)) { StatusCode = status };
        }

        throw new HubException(Explain(request, response, hasToken)) { StatusCode = status };
    }

    /// <summary>No answer came.</summary>
    public static Exception OfTransport(HubRequest request, HttpRequestException e)
    {
        var message = $"{request}: {e.Message.TrimEnd('.')}";
        return e.HttpRequestError switch
        {
            HttpRequestError.NameResolutionError or HttpRequestError.ProxyTunnelError => new HubException(message, e) { Unreachable = true },
            HttpRequestError.SecureConnectionError => new HubException($"{message}: {e.InnerException?.Message}", e),
            HttpRequestError.ConfigurationLimitExceeded or HttpRequestError.VersionNegotiationError => new HubException(message, e),
            _ => new TransientHubException(message, cause: e),
        };
    }

    private static string Explain(HubRequest request, HttpResponseMessage response, bool hasToken)
    {
        var repository = request.Repository;
        return (response.StatusCode, HubAnswer.One(response, "X-Error-Code")) switch
        {
            (HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden, _) =>
                $"{request}: the server answered {Words(response)}: the model is private or gated, or there is none of this name. "
                + (hasToken
                    ? "The access token (HF_TOKEN) gives no access to it: accept the model's conditions on its page, or use another token"
                    : "Accept the model's conditions on its page, and put an access token into the environment variable HF_TOKEN"),
            (HttpStatusCode.NotFound, "RevisionNotFound") =>
                $"{repository.Name} has no revision '{repository.Revision}' on the hub",
            (HttpStatusCode.NotFound, _) when request.File is { } file =>
                $"{repository.Name} has no file '{file}' in its revision '{repository.Revision}' on the hub",
            (HttpStatusCode.NotFound, "RepoNotFound") => $"there is no model '{repository.Name}' on the hub",
            (HttpStatusCode.NotFound, _) =>
                $"there is no model '{repository.Name}' with a revision '{repository.Revision}' on the hub",
            _ => $"{request}: the server answered {Words(response)}",
        };
    }

    private static string Words(HttpResponseMessage response)
    {
        var said = HubAnswer.One(response, "X-Error-Message");
        return $"{(int)response.StatusCode} {HubNames.Shown(response.ReasonPhrase ?? "")}".TrimEnd()
            + (said is null ? "" : $" ('{HubNames.Shown(said)}')");
    }

    // Either seconds or a date.
    private static TimeSpan? RetryAfter(HttpResponseMessage response)
    {
        var asked = response.Headers.RetryAfter;
        var wait = asked?.Delta ?? asked?.Date - DateTimeOffset.UtcNow;
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }
}
