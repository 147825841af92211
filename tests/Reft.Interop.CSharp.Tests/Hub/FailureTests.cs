using System.Net;
using System.Net.Sockets;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Hub;

/// <summary>What a bad line, a bad server and a bad day do.</summary>
public static class FailureTests
{
    private const string Weights = "model.safetensors";
    private const int Some = 5000;

    /// <summary>Interruptions, wrong answers and refusals.</summary>
    [Tests]
    public static readonly Test Failures = Runner.TestList(
        "Hub failures",
        [
            Runner.TestCase("a body that breaks off is continued", Resumes),
            Runner.TestCase("a cancelled download is continued by the next run", ResumesAfterCancel),
            Runner.TestCase("a server that ignores ranges sends the whole", IgnoredRange),
            Runner.TestCase("a server that sends another range is not believed", WrongRange),
            Runner.TestCase("a range beyond the end begins anew", RangeBeyond),
            Runner.TestCase("an older part that does not fit begins anew", ForeignPart),
            Runner.TestCase("a stalled body is given up and continued, and so is a trickle", Stalls),
            Runner.TestCase("a wrong hash is refused after a second try, and nothing is kept", WrongHash),
            Runner.TestCase("a wrong git hash is refused", WrongGitHash),
            Runner.TestCase("a longer body is cut and refused", Longer),
            Runner.TestCase("a wrong length is refused", WrongLength),
            Runner.TestCase("a body that always ends early fails with the numbers", AlwaysShort),
            Runner.TestCase("429 waits as long as the server asks, within bounds", TooManyRequests),
            Runner.TestCase("500 is tried again", ServerError),
            Runner.TestCase("waits of more than a day, or of less than nothing, are refused", BadDelays),
            Runner.TestCase("401 and 403 name the variable of the token", NoAccess),
            Runner.TestCase("404 names repository and file", NotFound),
            Runner.TestCase("a lock file that cannot be opened is an error, not a wait", BadLock),
            Runner.TestCase("repositories without safetensors say so", NoSafetensors),
        ]);

    private static void Resumes()
    {
        using var hub = new TinyHub();
        hub.Override = hub.Content(Weights, TinyHub.InTurn(
            new Reply(200, hub.Files[Weights]) { Stop = Some },
            Reply.Of(500)));
        Complete(hub);
        Check.Same([null, $"bytes={Some}-", $"bytes={Some}-"], Ranges(hub), "ranges");
    }

    private static void ResumesAfterCancel()
    {
        using var hub = new TinyHub();
        hub.Override = hub.Content(Weights, TinyHub.InTurn(new Reply(200, hub.Files[Weights]) { Stop = Some, Stalls = true }));
        using var stop = new CancellationTokenSource();
        var run = ModelHub.DownloadAsync(TinyHub.Repository, hub.Options, stop.Token);
        var part = new FileInfo(hub.Incomplete(Weights));
        SpinWait.SpinUntil(
            () =>
            {
                part.Refresh();
                return part is { Exists: true, Length: Some };
            },
            TimeSpan.FromSeconds(20));
        stop.Cancel();
        Check.Throws<OperationCanceledException>(() => run.GetAwaiter().GetResult());
        part.Refresh();
        Check.Equal(Some, part.Length, "what is kept");

        Complete(hub);
        Check.Same([null, $"bytes={Some}-"], Ranges(hub), "ranges");
        part.Refresh();
        Check.That(!part.Exists, "expected no part beside the whole");
    }

    private static void IgnoredRange()
    {
        using var hub = new TinyHub();
        var whole = new Reply(200, hub.Files[Weights]);
        hub.Override = hub.Content(Weights, TinyHub.InTurn(whole with { Stop = Some }, whole));
        Complete(hub);
        Check.Same([null, $"bytes={Some}-"], Ranges(hub), "ranges");
    }

    private static void WrongRange()
    {
        using var hub = new TinyHub();
        var content = hub.Files[Weights];
        hub.Override = hub.Content(Weights, TinyHub.InTurn(
            new Reply(200, content) { Stop = Some },
            new Reply(206, content[1..]).With("Content-Range", $"bytes 1-{content.Length - 1}/{content.Length}")));
        Complete(hub);
        Check.Same([null, $"bytes={Some}-", null], Ranges(hub), "ranges");
    }

    private static void RangeBeyond()
    {
        using var hub = new TinyHub();
        hub.Override = hub.Content(Weights, TinyHub.InTurn(new Reply(200, hub.Files[Weights]) { Stop = Some }, Reply.Of(416)));
        Complete(hub);
        Check.Same([null, $"bytes={Some}-", null], Ranges(hub), "ranges");
    }

    private static void ForeignPart()
    {
        using var hub = new TinyHub();
        Directory.CreateDirectory(Path.GetDirectoryName(hub.Blob(Weights))!);
        File.WriteAllBytes(hub.Incomplete(Weights), new byte[Some]);
        Complete(hub);
        Check.Same([$"bytes={Some}-", null], Ranges(hub), "ranges");

        using var longer = new TinyHub();
        Directory.CreateDirectory(Path.GetDirectoryName(longer.Blob(Weights))!);
        File.WriteAllBytes(longer.Incomplete(Weights), [.. longer.Files[Weights], 0]);
        Complete(longer);

        using var whole = new TinyHub();
        Directory.CreateDirectory(Path.GetDirectoryName(whole.Blob(Weights))!);
        File.WriteAllBytes(whole.Incomplete(Weights), whole.Files[Weights]);
        Complete(whole);
        Check.Equal(0, Ranges(whole).Length, "bodies, where all had come");
    }

    private static void Stalls()
    {
        using var hub = new TinyHub();
        var stalled = new Reply(200, hub.Files[Weights]) { Stop = Some, Stalls = true };
        hub.Override = hub.Content(Weights, TinyHub.InTurn(
            stalled,
            stalled with { Stalls = false, Trickle = TimeSpan.FromMilliseconds(20) }));
        Complete(hub, hub.Options with { StallTimeout = TimeSpan.FromMilliseconds(400) });
        Check.Equal(3, Ranges(hub).Length, "bodies");

        using var silent = new TinyHub();
        var before = true;
        silent.Override = asked =>
        {
            if (before)
            {
                before = false;
                Thread.Sleep(800);
            }

            return null;
        };
        Complete(silent, silent.Options with { StallTimeout = TimeSpan.FromMilliseconds(400) });
    }

    private static void WrongHash()
    {
        using var hub = new TinyHub();
        byte[] wrong = [.. hub.Files[Weights]];
        wrong[^1] ^= 1;
        hub.Override = hub.Content(Weights, _ => new Reply(200, wrong));
        hub.Refuses("org/tiny", Weights, $"expected {wrong.Length} bytes", hub.Etag(Weights), "found", "SHA-256");
        Check.Same([null, null], Ranges(hub), "ranges");
        NothingKept(hub);

        hub.Override = hub.Content(Weights, TinyHub.InTurn(new Reply(200, wrong)));
        Complete(hub);
    }

    private static void WrongGitHash()
    {
        using var hub = new TinyHub();
        hub.Override = TinyHub.About("config.json", asked => asked.Method == "GET" ? new Reply(200, new byte[hub.Files["config.json"].Length]) : null);
        hub.Refuses("config.json", hub.Etag("config.json"), "git SHA-1");
        Check.That(!File.Exists(Path.Combine(hub.Snapshot, "config.json")), "expected no file");
    }

    private static void Longer()
    {
        using var hub = new TinyHub();
        var size = hub.Files[Weights].Length;
        hub.Override = hub.Content(Weights, _ => new Reply(200, [.. hub.Files[Weights], .. new byte[1 << 20]]) { Length = -1 });
        hub.Refuses(Weights, $"expected {size} bytes", $"found more than {size} bytes");
        NothingKept(hub);
    }

    private static void WrongLength()
    {
        using var hub = new TinyHub();
        hub.Override = hub.Content(Weights, _ => new Reply(200, hub.Files[Weights][..Some]));
        hub.Refuses(Weights, $"expected {hub.Files[Weights].Length} bytes", $"found a body of {Some} bytes");
        NothingKept(hub);

        // The storage's own word on the size does not count; the hub's does, and must be there.
        hub.Override = TinyHub.About(Weights, _ => Reply.Redirect(hub.Elsewhere("/storage")).With("X-Linked-Etag", hub.Etag(Weights)));
        hub.Refuses(Weights, "does not say how large");
    }

    private static void AlwaysShort()
    {
        using var hub = new TinyHub();
        hub.Override = hub.Content(Weights, asked => asked.Header("Range") is null
            ? new Reply(200, hub.Files[Weights][..Some]) { Length = -1 }
            : hub.Answer(asked) with { Stop = 0, Length = -1 });
        hub.Refuses(Weights, $"ended after {Some} of {hub.Files[Weights].Length} bytes", "tried 6 times");
        Check.Equal(Some, new FileInfo(hub.Incomplete(Weights)).Length, "what is kept for the next run");
        hub.Override = _ => null;
        Complete(hub);
    }

    private static void TooManyRequests()
    {
        using var hub = new TinyHub();
        var busy = Reply.Of(429).With("Retry-After", "7");
        hub.Override = TinyHub.InTurn(busy, busy, Reply.Of(503).With("Retry-After", "123"));
        Complete(hub);
        Check.Same([7, 7, 123], hub.Time.Seconds, "waits in seconds");

        using var rude = new TinyHub();
        rude.Override = _ => Reply.Of(429).With("Retry-After", "86400");
        Check.Equal(HttpStatusCode.TooManyRequests, rude.Refuses("429", "86400 s").StatusCode, "status");
        Check.Equal(0, rude.Time.Seconds.Count, "waits");
        Check.Equal(1, rude.Server.Requests.Count, "requests");
    }

    private static void ServerError()
    {
        using var hub = new TinyHub();
        var failing = Reply.Of(500);
        hub.Override = TinyHub.InTurn(failing, failing, failing, failing, failing);
        Complete(hub);
        Check.Equal(5, hub.Time.Seconds.Count, "waits");
        Check.That(hub.Time.Seconds.All(wait => wait <= 30), $"expected waits of at most 30 s, found {string.Join(", ", hub.Time.Seconds)}");

        using var never = new TinyHub();
        never.Override = _ => failing;
        Check.Throws<HubException>(() => never.Fetch(never.Options with { Retries = 0 }), "500", "tried once");
    }

    private static void BadDelays()
    {
        using var hub = new TinyHub();
        foreach (var delay in new[] { TimeSpan.FromDays(1) + TimeSpan.FromTicks(1), TimeSpan.MaxValue, TimeSpan.FromTicks(-1) })
        {
            Check.Throws<ArgumentException>(() => hub.Fetch(hub.Options with { RetryDelay = delay }), "RetryDelay");
        }

        Check.Equal(0, hub.Server.Requests.Count, "requests");
        hub.Fetch(hub.Options with { RetryDelay = TimeSpan.FromDays(1) });
    }

    private static void NoAccess()
    {
        using var hub = new TinyHub();
        hub.Override = _ => Reply.Of(401);
        Check.Equal(HttpStatusCode.Unauthorized, hub.Refuses("org/tiny", "private or gated", "put an access token into the environment variable HF_TOKEN").StatusCode, "status");
        Check.Equal(1, hub.Server.Requests.Count, "requests: no second try");

        hub.Override = TinyHub.About(Weights, _ => Reply.Of(403).With("X-Error-Message", "Ask \u001b[31mthe authors"));
        var e = Check.Throws<HubException>(() => hub.Fetch(hub.Options with { Token = "hf_secret" }), Weights, "403", "?[31mthe authors", "gives no access");
        Check.That(!e.Message.Contains("hf_secret", StringComparison.Ordinal), "expected no token in the message");
    }

    private static void NotFound()
    {
        using var hub = new TinyHub();
        Check.Throws<HubException>(
            () => ReftModel.LoadAsync("org/none", hub: hub.Options).GetAwaiter().GetResult(), "no model 'org/none'", "no folder 'org/none'");
        hub.Override = TinyHub.About(Weights, _ => Reply.Of(404));
        Check.Equal(HttpStatusCode.NotFound, hub.Refuses("org/tiny", Weights, "'main'").StatusCode, "status");
    }

    private static void BadLock()
    {
        using var hub = new TinyHub();
        var path = hub.Lock(Weights);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);

        // No file to open: a socket. The link is there because addresses of sockets are short.
        var address = Path.Combine(hub.Home, "s");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(address));
        File.CreateSymbolicLink(path, address);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        Check.Throws<IOException>(() => hub.Fetch(cancel: patience.Token), path, "cannot be opened");
    }

    private static void NoSafetensors()
    {
        using var hub = new TinyHub();
        hub.Files.Remove(Weights);
        hub.Refuses("org/tiny", "expected model.safetensors", "found no weights");
        hub.Listed.Add("model.Q4.gguf");
        hub.Refuses("GGUF", "model.Q4.gguf");
        hub.Listed.Add("pytorch_model.bin");
        hub.Refuses("pickled", "pytorch_model.bin");
        hub.Files.Clear();
        hub.Refuses("org/tiny holds no config.json");
        Check.That(hub.Server.Requests.All(asked => asked.Path.StartsWith("/api/", StringComparison.Ordinal)), "expected that no file was asked for");
    }

    private static void Complete(TinyHub hub, HubOptions? options = null)
    {
        var folder = hub.Fetch(options);
        foreach (var (file, content) in hub.Files)
        {
            Check.Same(content, File.ReadAllBytes(Path.Combine(folder, file)), file);
        }
    }

    private static string?[] Ranges(TinyHub hub) =>
        [.. hub.Bodies(Weights).Where(asked => asked.Path.StartsWith("/storage", StringComparison.Ordinal)).Select(asked => asked.Header("Range"))];

    private static void NothingKept(TinyHub hub)
    {
        Check.That(!File.Exists(hub.Blob(Weights)), "expected no blob");
        Check.That(!File.Exists(hub.Incomplete(Weights)), "expected no part");
        Check.That(!File.Exists(Path.Combine(hub.Snapshot, Weights)), "expected no link");
        Check.That(!Directory.Exists(Path.Combine(hub.Folder, "refs")), "expected no ref to a snapshot that is not complete");
    }
}
