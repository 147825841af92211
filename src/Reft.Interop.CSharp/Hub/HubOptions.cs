namespace Reft;

/// <summary>
/// How models are fetched from the hub. What is not set comes from the environment, by the variables that Python's
/// <c>huggingface_hub</c> reads, so that both share one cache.
/// </summary>
public sealed record HubOptions
{
    /// <summary>
    /// The hub's address; where null, <c>HF_ENDPOINT</c>, else <c>https://huggingface.co</c>. HTTPS, or plain HTTP on the
    /// machine itself (a loopback address).
    /// </summary>
    public Uri? Endpoint { get; init; }

    /// <summary>
    /// The access token; where null, <c>HF_TOKEN</c>, <c>HUGGING_FACE_HUB_TOKEN</c>, then the file <c>HF_TOKEN_PATH</c> or
    /// <c>$HF_HOME/token</c>. Empty: none. It goes to the endpoint and to no other host.
    /// </summary>
    public string? Token { get; init; }

    /// <summary>
    /// The cache; where null, <c>HF_HUB_CACHE</c>, <c>$HF_HOME/hub</c>, <c>$XDG_CACHE_HOME/huggingface/hub</c>, else
    /// <c>~/.cache/huggingface/hub</c>.
    /// </summary>
    public string? CacheFolder { get; init; }

    /// <summary>
    /// Whether to use the cache alone and no network; where null, whether <c>HF_HUB_OFFLINE</c> or
    /// <c>TRANSFORMERS_OFFLINE</c> is 1.
    /// </summary>
    public bool? Offline { get; init; }

    /// <summary>How often a request is tried again after a failure that may pass: a lost connection, 429, 5xx.</summary>
    public int Retries { get; init; } = 5;

    /// <summary>
    /// The first wait before another try, at most one day; it doubles from try to try, with jitter. A server's Retry-After
    /// comes first.
    /// </summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A connection on which nothing comes for so long is given up and resumed. There is no limit on the whole.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The clock of the waits between tries.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>What hears of downloads as they go, on any thread, one report after the other.</summary>
    public IProgress<HubProgress>? Progress { get; init; }

    /// <summary>The options without the token, which belongs in no log.</summary>
    public override string ToString() =>
        $"{nameof(HubOptions)} {{ {nameof(Endpoint)} = {Endpoint}, {nameof(Token)} = {(Token is null ? "" : "…")}, "
        + $"{nameof(CacheFolder)} = {CacheFolder}, {nameof(Offline)} = {Offline} }}";
}
