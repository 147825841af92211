using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;

namespace Reft.Tests.Hub;

/// <summary>
/// A hub with one repository, <c>org/tiny</c>, and a cache to fetch it into. It behaves as the real one, with large files
/// (safetensors) behind a redirect to another host, unless a test says otherwise.
/// </summary>
internal sealed class TinyHub : IDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly TemporaryFolder _folder = TinyLlama.NewFolder();

    public TinyHub(X509Certificate2? certificate = null)
    {
        Server = new HubServer(asked => Override(asked) ?? Answer(asked), certificate);
        foreach (var file in new[] { "config.json", "generation_config.json", "model.safetensors" })
        {
            Files[file] = File.ReadAllBytes(Path.Combine(TinyLlama.Folder, file));
        }
    }

    public static HubRepository Repository { get; } = HubRepository.Parse("org/tiny");

    public HubServer Server { get; }

    public Dictionary<string, byte[]> Files { get; } = [];

    /// <summary>Names that the listing has beside those of the files.</summary>
    public List<string> Listed { get; } = [];

    /// <summary>What a test answers in place of the hub; null to leave it to the hub.</summary>
    public Func<Asked, Reply?> Override { get; set; } = _ => null;

    public string Cache => _folder.File("cache");

    public string Home => _folder.Path;

    public string Folder => Path.Combine(Cache, "models--org--tiny");

    public string Snapshot => Path.Combine(Folder, "snapshots", Commit);

    /// <summary>Waits of any length that take no time.</summary>
    public HurriedTime Time { get; } = new();

    public HubOptions Options => new()
    {
        Endpoint = Server.Address,
        Token = "",
        CacheFolder = Cache,
        Offline = false,
        Time = Time,
    };

    public IEnumerable<Asked> Bodies(string file) =>
        Server.Requests.Where(asked => asked.Method == "GET" && (IsOf(asked, file) || asked.Path == $"/storage/{Etag(file)}"));

    public static bool IsOf(Asked asked, string file) => asked.Path.EndsWith($"/resolve/{Commit}/{file}", StringComparison.Ordinal);

    /// <summary>A reply to the request for the content of a large file, where it lies.</summary>
    public Func<Asked, Reply?> Content(string file, Func<Asked, Reply?> answer) =>
        asked => asked.Path == $"/storage/{Etag(file)}" ? answer(asked) : null;

    /// <summary>A reply to whatever is asked about a file at the hub itself.</summary>
    public static Func<Asked, Reply?> About(string file, Func<Asked, Reply?> answer) =>
        asked => IsOf(asked, file) ? answer(asked) : null;

    /// <summary>Replies in turn; the hub itself answers after them.</summary>
    public static Func<Asked, Reply?> InTurn(params Reply[] replies)
    {
        var next = -1;
        return _ => Interlocked.Increment(ref next) is var i && i < replies.Length ? replies[i] : null;
    }

    public string Blob(string file) => Path.Combine(Folder, "blobs", Etag(file));

    public string Lock(string file) => Path.Combine(Cache, ".locks", "models--org--tiny", Etag(file) + ".lock");

    public string Incomplete(string file) => Blob(file) + ".incomplete";

    public string Fetch(HubOptions? options = null, CancellationToken cancel = default) =>
        ModelHub.DownloadAsync(Repository, options ?? Options, cancel).GetAwaiter().GetResult();

    public HubException Refuses(params string[] parts) => Check.Throws<HubException>(() => Fetch(), parts);

#pragma warning disable CA5350 // It is git's hash.
    public string Etag(string file) =>
        IsLarge(file)
            ? Convert.ToHexStringLower(SHA256.HashData(Files[file]))
            : Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {Files[file].Length}\0"), .. Files[file]]));
#pragma warning restore CA5350

    /// <summary>The hub's own answer.</summary>
    public Reply Answer(Asked asked)
    {
        if (asked.Path.StartsWith("/storage/", StringComparison.Ordinal))
        {
            return Ranged(asked, Files[Files.Keys.Single(file => asked.Path == $"/storage/{Etag(file)}")]);
        }

        const string Api = "/api/models/org/tiny/revision/";
        if (asked.Path.StartsWith(Api, StringComparison.Ordinal))
        {
            return asked.Path[Api.Length..] is "main" or Commit or "feature%2Fx"
                ? Reply.Of(200, Listing())
                : Reply.Of(404).With("X-Error-Code", "RevisionNotFound");
        }

        var name = asked.Path[(asked.Path.LastIndexOf('/') + 1)..];
        if (!IsOf(asked, name) || !Files.TryGetValue(name, out var content))
        {
            return Reply.Of(404);
        }

        return IsLarge(name)
            ? Reply.Redirect(Elsewhere($"/storage/{Etag(name)}"))
                .With("X-Repo-Commit", Commit).With("X-Linked-Etag", $"\"{Etag(name)}\"").With("X-Linked-Size", $"{content.Length}")
            : Ranged(asked, content).With("X-Repo-Commit", Commit).With("ETag", $"\"{Etag(name)}\"");
    }

    /// <summary>An address at this server under another name.</summary>
    public string Elsewhere(string path) => $"http://localhost:{Server.Port}{path}";

    public string Listing(string commit = Commit) => JsonSerializer.Serialize(new
    {
        sha = commit,
        siblings = Files.Keys.Concat(Listed).Select(file => new { rfilename = file }),
    });

    /// <summary>The paths below the hub's part of the temporary folder, as they would not be if a name had led out of the cache.</summary>
    public string[] Outside() =>
        [.. Directory.GetFileSystemEntries(_folder.Path).Where(path => path != Cache).Select(path => Path.GetFileName(path))];

    public void Dispose()
    {
        Server.Dispose();
        _folder.Dispose();
    }

    private static bool IsLarge(string file) => file.EndsWith(".safetensors", StringComparison.Ordinal);

    private static Reply Ranged(Asked asked, byte[] content)
    {
        if (asked.Header("Range") is not { } range)
        {
            return new Reply(200, content);
        }

        var from = int.Parse(range["bytes=".Length..^1], provider: null);
        return from >= content.Length
            ? Reply.Of(416)
            : new Reply(206, content[from..]).With("Content-Range", $"bytes {from}-{content.Length - 1}/{content.Length}");
    }
}

/// <summary>A clock on which nobody waits: each wait is noted and over.</summary>
internal sealed class HurriedTime : TimeProvider
{
    private readonly List<TimeSpan> _waits = [];

    /// <summary>The waits, rounded to whole seconds.</summary>
    public IReadOnlyList<double> Seconds
    {
        get
        {
            lock (_waits)
            {
                return [.. _waits.Select(wait => Math.Round(wait.TotalSeconds))];
            }
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        lock (_waits)
        {
            _waits.Add(dueTime);
        }

        return base.CreateTimer(callback, state, TimeSpan.Zero, period);
    }
}
