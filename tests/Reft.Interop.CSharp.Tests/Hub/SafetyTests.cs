using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Hub;

/// <summary>What a server, or someone between, may not do.</summary>
public static class SafetyTests
{
    private const string Weights = "model.safetensors";

    /// <summary>Names, redirects, sizes and secrets.</summary>
    [Tests]
    public static readonly Test Safety = Runner.TestList(
        "Hub safety",
        [
            Runner.TestCase("names of repositories and revisions", Names),
            Runner.TestCase("the token goes to the endpoint alone", TokenStays),
            Runner.TestCase("the token is shown nowhere and must be plain", TokenIsSecret),
            Runner.TestCase("a renamed repository is followed, with the token", FollowsRename),
            Runner.TestCase("redirects to plain HTTP elsewhere, in circles or to nowhere are refused", BadRedirects),
            Runner.TestCase("endpoints without HTTPS are refused unless they are this machine", Endpoints),
            Runner.TestCase("shards with names that lead elsewhere are refused", BadShards),
            Runner.TestCase("commits and etags that are no hashes are refused", BadHashes),
            Runner.TestCase("compressed answers are refused", Compressed),
            Runner.TestCase("a list of files without end is refused", EndlessListing),
            Runner.TestCase("a list that is none is refused", NoListing),
            Runner.TestCase("sizes that cannot be are refused", Sizes),
        ]);

    private static void Names()
    {
        foreach (var good in new[] { "gpt2", "org/name", "org/name@main", "Org-1/na.me_2@refs/pr/1", $"a/b@{TinyHub.Commit}", "org/name@v1.0+cpu" })
        {
            Check.Equal(good.Replace("@main", ""), HubRepository.Parse(good).ToString(), good);
        }

        string[] bad =
        [
            "", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", "a/.b", "-a/b", "a/b-", "a--b/c", "a..b", "a b", "a/b\n", "a\\b", "C:", "~/a", "./a",
            "a/b@", "a/b@..", "a/b@x/../y", "a/b@/x", "a/b@x/", "a/b@x\0", "a/b@nul", "a/b@x y", "a/b@x@y", "a/b?c", "a%2fb", "org/name.git", new string('a', 97), "é",
        ];
        foreach (var text in bad)
        {
            Check.That(!HubRepository.TryParse(text, out _), $"expected '{text}' to be refused");
            Check.Throws<ArgumentException>(() => HubRepository.Parse(text), "expected");
        }

        Check.That(!HubRepository.TryParse(null, out _), "expected null to be refused");
    }

    private static void TokenStays()
    {
        using var hub = new TinyHub();
        hub.Fetch(hub.Options with { Token = "hf_secret" });
        foreach (var asked in hub.Server.Requests)
        {
            var elsewhere = asked.Header("Host")!.StartsWith("localhost", StringComparison.Ordinal);
            Check.Equal(elsewhere ? null : "Bearer hf_secret", asked.Header("Authorization"), $"{asked.Header("Host")}{asked.Path}");
        }

        Check.That(hub.Server.Requests.Any(asked => asked.Header("Host")!.StartsWith("localhost", StringComparison.Ordinal)), "expected a request elsewhere");
    }

    private static void TokenIsSecret()
    {
        using var hub = new TinyHub();
        var options = hub.Options with { Token = "hf_secret\r\nX-Injected: 1" };
        var e = Check.Throws<ArgumentException>(() => hub.Fetch(options), "Token");
        Check.That(!e.Message.Contains("hf_secret", StringComparison.Ordinal), "expected no token in the message");
        Check.That(!options.ToString().Contains("hf_secret", StringComparison.Ordinal), "expected no token in the text of the options");
        Check.Equal(0, hub.Server.Requests.Count, "requests");
    }

    private static void FollowsRename()
    {
        using var hub = new TinyHub();
        hub.Override = asked => asked.Path.Contains("/old/", StringComparison.Ordinal)
            ? Reply.Redirect(asked.Path.Replace("/old/", "/org/", StringComparison.Ordinal), 307)
            : null;
        var old = HubRepository.Parse("old/tiny");
        var folder = ModelHub.DownloadAsync(old, hub.Options with { Token = "hf_secret" }).GetAwaiter().GetResult();
        Check.Same(hub.Files[Weights], File.ReadAllBytes(Path.Combine(folder, Weights)), "content");
        Check.That(
            hub.Server.Requests.Where(asked => asked.Path.Contains("/org/", StringComparison.Ordinal)).All(asked => asked.Header("Authorization") is not null),
            "expected the token at the endpoint");
    }

    private static void BadRedirects()
    {
        using var hub = new TinyHub();
        foreach (var target in new[] { "http://example.invalid/x", "ftp://localhost/x", "file:///etc/passwd", "https://user:password@example.invalid/" })
        {
            hub.Override = _ => Reply.Redirect(target);
            hub.Refuses("org/tiny", "not followed");
        }

        hub.Override = asked => Reply.Redirect(asked.Path);
        hub.Refuses("more than 5 redirects");
        hub.Override = _ => Reply.Of(302);
        hub.Refuses("redirect to nowhere");
    }

    private static void Endpoints()
    {
        using var hub = new TinyHub();
        foreach (var address in new[] { "http://example.invalid", "ftp://localhost", "https://user:password@example.invalid", "https://example.invalid/?a", "file:///tmp" })
        {
            Check.Throws<ArgumentException>(() => hub.Fetch(hub.Options with { Endpoint = new Uri(address) }), "Endpoint", "https");
        }

        // A mirror below a path.
        hub.Override = asked => asked.Path.StartsWith("/mirror/", StringComparison.Ordinal)
            ? hub.Answer(asked with { Path = asked.Path["/mirror".Length..] })
            : null;
        hub.Fetch(hub.Options with { Endpoint = new Uri(hub.Server.Address, "/mirror/") });
    }

    private static void BadShards()
    {
        string[] names =
        [
            "../../../evil.safetensors", "/tmp/evil.safetensors", @"..\evil.safetensors", @"C:\evil.safetensors", "sub/evil.safetensors",
            ".hidden.safetensors", "nul.safetensors", "evil\n.safetensors", "evil.bin", "", new string('a', 300) + ".safetensors",
        ];
        foreach (var name in names)
        {
            using var hub = new TinyHub();
            hub.Files.Remove(Weights);
            hub.Listed.Add(name);
            hub.Files["model.safetensors.index.json"] = JsonSerializer.SerializeToUtf8Bytes(new
            {
                weight_map = new Dictionary<string, string> { ["a"] = name },
            });
            hub.Refuses("model.safetensors.index.json", "plain name");
            Check.Same([], hub.Outside(), "outside the cache");
        }

        using var absent = new TinyHub();
        absent.Files.Remove(Weights);
        absent.Files["model.safetensors.index.json"] = """{"weight_map": {"a": "a.safetensors"}}"""u8.ToArray();
        absent.Refuses("a.safetensors", "does not hold");

        using var damaged = new TinyHub();
        damaged.Files.Remove(Weights);
        damaged.Files["model.safetensors.index.json"] = "[]"u8.ToArray();
        damaged.Refuses("no list of shards");
    }

    private static void BadHashes()
    {
        using var hub = new TinyHub();
        foreach (var commit in new[] { "../../../../evil", "main", "", TinyHub.Commit.ToUpperInvariant() + "0" })
        {
            hub.Override = asked => asked.Path.StartsWith("/api/", StringComparison.Ordinal) ? Reply.Of(200, hub.Listing(commit)) : null;
            hub.Refuses("expected a commit hash");
        }

        foreach (var etag in new[] { "../../../evil", "abc", "/etc/passwd", new string('g', 64), "" })
        {
            hub.Override = TinyHub.About(Weights, asked => hub.Answer(asked).With("X-Linked-Etag", $"\"{etag}\""));
            hub.Refuses(Weights, "ETag");
        }

        hub.Override = TinyHub.About(Weights, asked => hub.Answer(asked).With("X-Repo-Commit", new string('0', 40)));
        hub.Refuses(Weights, $"expected commit {TinyHub.Commit}");
        Check.Same([], hub.Outside(), "outside the cache");

        // Weak etags of small files are what some proxies make of them.
        hub.Override = TinyHub.About("config.json", asked => hub.Answer(asked).With("ETag", $"W/\"{hub.Etag("config.json")}\""));
        hub.Fetch();
    }

    private static void Compressed()
    {
        var bomb = new MemoryStream();
        using (var gzip = new GZipStream(bomb, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(new byte[32 << 20]);
        }

        foreach (var what in new[] { "/api/", $"/resolve/{TinyHub.Commit}/config.json", "/storage/" })
        {
            using var hub = new TinyHub();
            hub.Override = asked => asked.Method == "GET" && asked.Path.Contains(what, StringComparison.Ordinal)
                ? new Reply(200, bomb.ToArray()).With("Content-Encoding", "gzip")
                : null;
            hub.Refuses("compressed", "gzip");
        }
    }

    private static void EndlessListing()
    {
        using var hub = new TinyHub();
        hub.Override = _ => new Reply(200, Encoding.ASCII.GetBytes("{\"sha\": \"" + new string('a', 17 << 20))) { Length = -1 };
        hub.Refuses("org/tiny", "16 MiB");
        hub.Override = _ => Reply.Of(200, new string('[', 100_000));
        hub.Refuses("no list of a model's files");
    }

    private static void NoListing()
    {
        const string Sha = "{\"sha\": \"" + TinyHub.Commit + "\", \"siblings\": ";
        using var hub = new TinyHub();
        foreach (var text in new[] { "", "<html>", "[]", "{}", "null", "{\"sha\": 1}", Sha + "[1]}", Sha + "{}}" })
        {
            hub.Override = _ => Reply.Of(200, text);
            hub.Refuses("no list of a model's files");
        }
    }

    private static void Sizes()
    {
        using var hub = new TinyHub();
        hub.Override = TinyHub.About("config.json", asked => hub.Answer(asked).With("X-Linked-Size", "1000000000000"));
        hub.Refuses("config.json", "expected at most");
        foreach (var size in new[] { "-1", "99999999999999999999", "1e3", "many" })
        {
            hub.Override = TinyHub.About(Weights, asked => hub.Answer(asked).With("X-Linked-Size", size));
            hub.Refuses(Weights, "how large");
        }

        hub.Override = TinyHub.About(Weights, asked => hub.Answer(asked).With("X-Linked-Size", "1000000000000000"));
        hub.Refuses(Weights, "are needed");
    }
}
