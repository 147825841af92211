namespace Reft.Internal;

/// <summary>A failure after which another try may succeed. It never leaves <see cref="HubRetries"/>.</summary>
internal sealed class TransientHubException(string message, TimeSpan? retryAfter = null, Exception? cause = null)
    : Exception(message, cause)
{
    /// <summary>How long the server asks to wait.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;

    /// <summary>What the server answered, if it did.</summary>
    public System.Net.HttpStatusCode? StatusCode { get; init; }
}
