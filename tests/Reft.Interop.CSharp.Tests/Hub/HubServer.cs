using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Reft.Tests.Hub;

/// <summary>A request as it came.</summary>
internal sealed record Asked(string Method, string Path, IReadOnlyDictionary<string, string> Headers)
{
    /// <summary>A header; null where it did not come.</summary>
    public string? Header(string name) => Headers.GetValueOrDefault(name);
}

/// <summary>An answer, with everything that may be wrong with one.</summary>
internal sealed record Reply(int Status, byte[] Body)
{
    public Dictionary<string, string> Headers { get; init; } = [];

    /// <summary>The length that the header states; the body's where null, no header where negative.</summary>
    public long? Length { get; init; }

    /// <summary>Bytes of the body after which the connection ends, or stalls.</summary>
    public int? Stop { get; init; }

    /// <summary>Whether it stalls there rather than ends.</summary>
    public bool Stalls { get; init; }

    /// <summary>After the stop one byte comes in each of these intervals.</summary>
    public TimeSpan? Trickle { get; init; }

    public static Reply Of(int status, string body = "") => new(status, Encoding.UTF8.GetBytes(body));

    public static Reply Redirect(string to, int status = 302) => Of(status).With("Location", to);

    public Reply With(string header, string value) => this with { Headers = new(Headers) { [header] = value } };
}

/// <summary>An HTTP server on this machine that answers as a test tells it to, well or badly: one request a connection.</summary>
internal sealed class HubServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Asked> _asked = [];
    private readonly Func<Asked, Reply> _answer;
    private readonly X509Certificate2? _certificate;

    public HubServer(Func<Asked, Reply> answer, X509Certificate2? certificate = null)
    {
        _answer = answer;
        _certificate = certificate;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public Uri Address => new(_certificate is null ? $"http://127.0.0.1:{Port}" : $"https://localhost:{Port}");

    /// <summary>All requests so far.</summary>
    public IReadOnlyList<Asked> Requests
    {
        get
        {
            lock (_asked)
            {
                return [.. _asked];
            }
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or SocketException)
        {
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var connection = client;
        try
        {
            Stream stream = client.GetStream();
            if (_certificate is not null)
            {
                var secure = new SslStream(stream);
                await secure.AuthenticateAsServerAsync(_certificate);
                stream = secure;
            }

            if (await ReadAsync(stream) is { } asked)
            {
                lock (_asked)
                {
                    _asked.Add(asked);
                }

                await WriteAsync(stream, asked, _answer(asked));
            }

            await stream.DisposeAsync();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The client went away, or the test is over.
        }
    }

    private static async Task<Asked?> ReadAsync(Stream stream)
    {
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            if (await stream.ReadAsync(one) == 0)
            {
                return null;
            }

            head.Append((char)one[0]);
        }

        var lines = head.ToString().Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var first = lines[0].Split(' ');
        return new Asked(first[0], first[1], lines.Skip(1).Select(line => line.Split(": ", 2))
            .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.OrdinalIgnoreCase));
    }

    private async Task WriteAsync(Stream stream, Asked asked, Reply reply)
    {
        var head = new StringBuilder($"HTTP/1.1 {reply.Status} Said\r\nConnection: close\r\n");
        foreach (var (name, value) in reply.Headers)
        {
            head.Append(null, $"{name}: {value}\r\n");
        }

        if (reply.Length is not < 0)
        {
            head.Append(null, $"Content-Length: {reply.Length ?? reply.Body.Length}\r\n");
        }

        await stream.WriteAsync(Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()));
        if (asked.Method == "HEAD")
        {
            return;
        }

        await stream.WriteAsync(reply.Body.AsMemory(0, reply.Stop ?? reply.Body.Length));
        await stream.FlushAsync();
        for (var i = reply.Stop ?? 0; reply.Trickle is { } pause && i < reply.Body.Length; i++)
        {
            await Task.Delay(pause, _stop.Token);
            await stream.WriteAsync(reply.Body.AsMemory(i, 1));
            await stream.FlushAsync();
        }

        if (reply.Stalls)
        {
            await Task.Delay(Timeout.Infinite, _stop.Token);
        }
    }
}
