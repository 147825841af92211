using System.Net;
using System.Net.Http.Headers;

namespace Reft.Internal;

/// <summary>
/// Requests to the hub. It follows redirects itself: the token goes to the endpoint alone, HTTPS never becomes HTTP, and the
/// chain is short. Bodies are taken as they come: nothing is decompressed.
/// </summary>
internal sealed class HubConnection : IDisposable
{
    private const int MostRedirects = 5;
    private const int MostHeaderKilobytes = 64;
    private static readonly ProductInfoHeaderValue Agent = new("reft", typeof(HubConnection).Assembly.GetName().Version?.ToString(3));

    private readonly HubSettings _settings;
    private readonly HttpClient _client;

    public HubConnection(HubSettings settings)
    {
        _settings = settings;
        _client = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            ConnectTimeout = settings.Options.StallTimeout,
            MaxResponseHeadersLength = MostHeaderKilobytes,
            UseProxy = !settings.Endpoint.IsLoopback,
        })
        {
            // Large files take as long as they take; StallClock watches that something comes.
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>Sends a request and waits for the head of its answer, which is a success.</summary>
    /// <exception cref="TransientHubException">Another try may succeed.</exception>
    /// <exception cref="HubException">It was refused, or the answer is not one to use.</exception>
    public async Task<HubAnswer> SendAsync(HubRequest request, CancellationToken cancel)
    {
        using var clock = new StallClock(_settings.Options.StallTimeout, cancel);
        try
        {
            return await FollowAsync(request, clock.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (clock.Expired)
        {
            throw new TransientHubException($"{request}: {_settings.Endpoint.Host} did not answer in {_settings.Options.StallTimeout.TotalSeconds:0.#} s", cause: e);
        }
        catch (HttpRequestException e)
        {
            throw HubFailures.OfTransport(request, e);
        }
    }

    public void Dispose() => _client.Dispose();

    private async Task<HubAnswer> FollowAsync(HubRequest request, CancellationToken cancel)
    {
        var address = new Uri($"{_settings.Endpoint.AbsoluteUri.TrimEnd('/')}/{request.Path}");
        string? commit = null, etag = null, size = null;
        for (var redirects = 0; ; redirects++)
        {
            var response = await _client.SendAsync(Message(request, address), HttpCompletionOption.ResponseHeadersRead, cancel)
                .ConfigureAwait(false);
            try
            {
                // Only the hub's own word counts, not that of a host it sends to.
                if (IsEndpoint(address))
                {
                    commit ??= HubAnswer.One(response, "X-Repo-Commit");
                    etag ??= HubAnswer.One(response, "X-Linked-Etag");
                    size ??= HubAnswer.One(response, "X-Linked-Size");
                }

                if (!IsRedirect(response.StatusCode))
                {
                    HubFailures.ThrowUnlessSuccess(request, response, _settings.Token is not null);
                    return new HubAnswer(response, commit, etag, size);
                }

                var next = Next(request, response, address);
                if (request.Method == HttpMethod.Head && !IsEndpoint(next))
                {
                    // The storage that large files lie in knows nothing of the hub's facts.
                    return new HubAnswer(response, commit, etag, size);
                }

                if (redirects == MostRedirects)
                {
                    throw new HubException($"{request}: more than {MostRedirects} redirects");
                }

                address = next;
            }
            catch
            {
                response.Dispose();
                throw;
            }

            response.Dispose();
        }
    }

    private HttpRequestMessage Message(HubRequest request, Uri address)
    {
        var message = new HttpRequestMessage(request.Method, address);
        message.Headers.UserAgent.Add(Agent);
        message.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (request.From > 0)
        {
            message.Headers.Range = new RangeHeaderValue(request.From, null);
        }

        if (_settings.Token is { } token && IsEndpoint(address))
        {
            message.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        return message;
    }

    private static Uri Next(HubRequest request, HttpResponseMessage response, Uri from)
    {
        if (response.Headers.Location is not { } location || !Uri.TryCreate(from, location, out var to))
        {
            throw new HubException($"{request}: a redirect to nowhere");
        }

        // From the machine itself to the machine itself is the one case in which HTTP may lead to HTTP.
        return to.UserInfo.Length == 0
            && (to.Scheme == Uri.UriSchemeHttps || (to.Scheme == Uri.UriSchemeHttp && from.Scheme == Uri.UriSchemeHttp && to.IsLoopback))
            ? to
            : throw new HubException($"{request}: a redirect from {from.Scheme}://{from.Host} to {HubNames.Shown($"{to.Scheme}://{to.Host}")}, which is not followed: expected https");
    }

    private bool IsEndpoint(Uri address) =>
        Uri.Compare(address, _settings.Endpoint, UriComponents.SchemeAndServer, UriFormat.UriEscaped, StringComparison.OrdinalIgnoreCase) == 0;

    private static bool IsRedirect(HttpStatusCode status) =>
        status is HttpStatusCode.MovedPermanently or HttpStatusCode.Found or HttpStatusCode.SeeOther
            or HttpStatusCode.TemporaryRedirect or HttpStatusCode.PermanentRedirect;
}
