using System.Net;

namespace Reft;

/// <summary>A model cannot be fetched; the message says which, why, and what would help.</summary>
public sealed class HubException : IOException
{
    /// <summary>A failure without a message.</summary>
    public HubException()
    {
    }

    /// <summary>A failure.</summary>
    public HubException(string message)
        : base(message)
    {
    }

    /// <summary>A failure with its cause.</summary>
    public HubException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>What the server answered, where that is why: 401, 403, 404, 429, …; null elsewhere.</summary>
    public HttpStatusCode? StatusCode { get; init; }

    /// <summary>Whether the hub gave no answer, or none but that it is out of order or too busy: then the cache may do.</summary>
    internal bool Unreachable { get; init; }
}
