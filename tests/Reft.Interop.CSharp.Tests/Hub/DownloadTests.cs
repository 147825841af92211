using System.Text;
using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Hub;

/// <summary>What comes from a hub that behaves well.</summary>
public static class DownloadTests
{
    /// <summary>From a name to a model.</summary>
    [Tests]
    public static readonly Test Downloads = Runner.TestList(
        "Hub downloads",
        [
            Runner.TestCase("LoadAsync of a name gives the model of its folder", LoadsByName),
            Runner.TestCase("LoadAsync of a folder takes it as it is", LoadsFolder),
            Runner.TestCase("only the files of a model are fetched, small ones first", OnlyWhatIsNeeded),
            Runner.TestCase("the layout is that of huggingface_hub", Layout),
            Runner.TestCase("what the cache holds is not fetched again", NothingTwice),
            Runner.TestCase("a cache that another program filled is used, offline too", UsesForeignCache),
            Runner.TestCase("offline says what is missing", OfflineMisses),
            Runner.TestCase("a hub that gives no answer leaves the cache", FallsBack),
            Runner.TestCase("shards are fetched as the index names them", Shards),
            Runner.TestCase("a revision with a slash, and one that is not there", Revisions),
            Runner.TestCase("two at once fetch one body", OneBody),
            Runner.TestCase("a lock that another holds is waited for, which is said once", WaitsForLock),
            Runner.TestCase("progress counts bytes and files", Progress),
            Runner.TestCase("a blob that was deleted or cut is fetched again", Repairs),
        ]);

    private static void LoadsByName()
    {
        using var hub = new TinyHub();
        var row = new DataRow { InputIds = [1, 20, 21, 22, 23] };
        using var expected = ReftModel.Load(TinyLlama.Folder);
        using var found = ReftModel.LoadAsync("org/tiny", TinyLlama.Spec, hub: hub.Options).GetAwaiter().GetResult().Detach();
        Check.Same(expected.Score([row]).Single().LogProbs, found.Score([row]).Single().LogProbs, "log-probabilities");

        using var pinned = ReftModel.LoadAsync($"org/tiny@{TinyHub.Commit}", hub: hub.Options).GetAwaiter().GetResult();
        Check.Equal(expected.Config.ParameterCount, pinned.Config.ParameterCount, "parameters");
        Check.Throws<FileNotFoundException>(() => ReftModel.Load("org/tiny"), "no folder 'org/tiny'", "LoadAsync");
    }

    private static void LoadsFolder()
    {
        using var hub = new TinyHub();
        using var model = ReftModel.LoadAsync(TinyLlama.Folder, hub: hub.Options).GetAwaiter().GetResult();
        Check.Equal(0, hub.Server.Requests.Count, "requests");
        Check.Throws<FileNotFoundException>(
            () => ReftModel.LoadAsync("/no/such/folder", hub: hub.Options).GetAwaiter().GetResult(), "neither a folder nor the name");
    }

    private static void OnlyWhatIsNeeded()
    {
        using var hub = new TinyHub();
        hub.Listed.AddRange(["README.md", "pytorch_model.bin", "onnx/model.onnx", "model.gguf", "original/config.json", "flax_model.msgpack", "../../evil"]);
        foreach (var file in new[] { "tokenizer.json", "merges.txt", "chat_template.jinja" })
        {
            hub.Files[file] = Encoding.UTF8.GetBytes(file);
        }

        var folder = hub.Fetch();
        Check.Equal(hub.Snapshot, folder, "folder");
        Check.Same(
            ["chat_template.jinja", "config.json", "generation_config.json", "merges.txt", "model.safetensors", "tokenizer.json"],
            Directory.GetFileSystemEntries(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal),
            "files");
        foreach (var (file, content) in hub.Files)
        {
            Check.Same(content, File.ReadAllBytes(Path.Combine(folder, file)), file);
        }

        Check.Equal($"/storage/{hub.Etag("model.safetensors")}", hub.Server.Requests[^1].Path, "the last request");
        Check.That(
            hub.Server.Requests.All(asked => asked.Header("Accept-Encoding") == "identity"), "expected that nothing is asked for compressed");
        Check.Same([], hub.Outside(), "outside the cache");
    }

    private static void Layout()
    {
        using var hub = new TinyHub();
        hub.Fetch();
        Check.Same(["blobs", "refs", "snapshots"], Directory.GetDirectories(hub.Folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal), "folders");
        Check.Same(
            hub.Files.Keys.Select(hub.Etag).Order(StringComparer.Ordinal),
            Directory.GetFiles(Path.Combine(hub.Folder, "blobs")).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal),
            "blobs, and nothing unfinished");
        Check.Equal(TinyHub.Commit, File.ReadAllText(Path.Combine(hub.Folder, "refs", "main")), "refs/main, without a line break");
        foreach (var file in hub.Files.Keys)
        {
            Check.Equal(
                Path.Combine("..", "..", "blobs", hub.Etag(file)),
                new FileInfo(Path.Combine(hub.Snapshot, file)).LinkTarget,
                $"the link of {file}");
        }
    }

    private static void NothingTwice()
    {
        using var hub = new TinyHub();
        hub.Fetch();
        var first = hub.Server.Requests.Count;
        hub.Fetch();
        Check.Equal(first + 1, hub.Server.Requests.Count, "the second time the list of files is asked for, and nothing else");
        hub.Fetch(hub.Options with { Offline = true });
        Check.Equal(first + 1, hub.Server.Requests.Count, "offline, nothing");
    }

    private static void UsesForeignCache()
    {
        using var hub = new TinyHub();
        Directory.CreateDirectory(hub.Snapshot);
        Directory.CreateDirectory(Path.Combine(hub.Folder, "blobs"));
        Directory.CreateDirectory(Path.Combine(hub.Folder, "refs"));
        File.WriteAllText(Path.Combine(hub.Folder, "refs", "main"), TinyHub.Commit);
        foreach (var (file, content) in hub.Files)
        {
            File.WriteAllBytes(hub.Blob(file), content);
            File.CreateSymbolicLink(Path.Combine(hub.Snapshot, file), Path.Combine("..", "..", "blobs", hub.Etag(file)));
        }

        Check.Equal(hub.Snapshot, hub.Fetch(hub.Options with { Offline = true }), "folder, offline");
        Check.Equal(hub.Snapshot, hub.Fetch(), "folder, online");
        Check.Equal(1, hub.Server.Requests.Count, "requests");
        var pinned = ModelHub.DownloadAsync(TinyHub.Repository.At(TinyHub.Commit), hub.Options with { Offline = true }).GetAwaiter().GetResult();
        Check.Equal(hub.Snapshot, pinned, "folder of a commit, offline");
    }

    private static void OfflineMisses()
    {
        using var hub = new TinyHub();
        var offline = hub.Options with { Offline = true };
        Check.Throws<HubException>(() => hub.Fetch(offline), "org/tiny", "offline", "no revision 'main'");
        hub.Fetch();
        File.Delete(Path.Combine(hub.Snapshot, "model.safetensors"));
        Check.Throws<HubException>(() => hub.Fetch(offline), "org/tiny", "offline", "lacks model.safetensors");
        File.WriteAllText(Path.Combine(hub.Folder, "refs", "main"), "../../../etc");
        Check.Throws<HubException>(() => hub.Fetch(offline), "no revision 'main'");
    }

    private static void FallsBack()
    {
        using var hub = new TinyHub();
        hub.Override = _ => Reply.Of(503);
        Check.That(hub.Refuses("503", "tried 6 times").StatusCode is System.Net.HttpStatusCode.ServiceUnavailable, "expected the status");

        hub.Override = _ => null;
        hub.Fetch();
        foreach (var (status, wait) in new[] { (503, "0"), (429, "0"), (429, "86400"), (408, "0") })
        {
            hub.Override = _ => Reply.Of(status).With("Retry-After", wait);
            var heard = new List<HubProgress>();
            Check.Equal(hub.Snapshot, hub.Fetch(hub.Options with { Progress = new Heard(heard) }), "folder");
            Check.That(
                heard is [{ Notice: { } notice }] && notice.Contains($"{status}", StringComparison.Ordinal), $"expected a notice, found {string.Join(", ", heard)}");
        }

        // A server that refuses is not one that is away.
        hub.Override = _ => Reply.Of(403);
        hub.Refuses("403");
    }

    private static void Shards()
    {
        using var hub = new TinyHub();
        hub.Files.Remove("model.safetensors");
        string[] shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        foreach (var shard in shards)
        {
            hub.Files[shard] = Encoding.UTF8.GetBytes(shard);
        }

        hub.Files["unrelated.safetensors"] = [1];
        hub.Files["model.safetensors.index.json"] = JsonSerializer.SerializeToUtf8Bytes(new
        {
            weight_map = new Dictionary<string, string> { ["a"] = shards[0], ["b"] = shards[1], ["c"] = shards[1] },
        });
        var folder = hub.Fetch();
        foreach (var shard in shards)
        {
            Check.Equal(shard, File.ReadAllText(Path.Combine(folder, shard)), "content");
        }

        Check.That(!File.Exists(Path.Combine(folder, "unrelated.safetensors")), "expected nothing that the index does not name");
        Check.Equal(folder, hub.Fetch(hub.Options with { Offline = true }), "folder, offline");
        File.Delete(Path.Combine(folder, shards[1]));
        Check.Throws<HubException>(() => hub.Fetch(hub.Options with { Offline = true }), "lacks " + shards[1]);
    }

    private static void Revisions()
    {
        using var hub = new TinyHub();
        var branch = TinyHub.Repository.At("feature/x");
        var folder = ModelHub.DownloadAsync(branch, hub.Options).GetAwaiter().GetResult();
        Check.Equal(hub.Snapshot, folder, "folder");
        Check.Equal(TinyHub.Commit, File.ReadAllText(Path.Combine(hub.Folder, "refs", "feature", "x")), "refs/feature/x");
        Check.That(hub.Server.Requests.All(asked => !asked.Path.Contains("resolve/feature", StringComparison.Ordinal)), "expected files by commit");
        Check.Throws<HubException>(
            () => ModelHub.DownloadAsync(TinyHub.Repository.At("v9"), hub.Options).GetAwaiter().GetResult(), "org/tiny has no revision 'v9'");
    }

    private static void OneBody()
    {
        using var hub = new TinyHub();
        Task.WhenAll(Enumerable.Range(0, 3).Select(_ => ModelHub.DownloadAsync(TinyHub.Repository, hub.Options))).GetAwaiter().GetResult();
        Check.Equal(1, hub.Bodies("model.safetensors").Count(asked => asked.Path.StartsWith("/storage", StringComparison.Ordinal)), "bodies");
    }

    private static void WaitsForLock()
    {
        using var hub = new TinyHub();
        var heard = new List<HubProgress>();
        Directory.CreateDirectory(Path.GetDirectoryName(hub.Lock("model.safetensors"))!);
        Task<string> run;
        using (new FileStream(hub.Lock("model.safetensors"), FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            run = ModelHub.DownloadAsync(TinyHub.Repository, hub.Options with { Progress = new Heard(heard) });
            Check.That(SpinWait.SpinUntil(() => Notices().Length > 0, TimeSpan.FromSeconds(20)), "expected a notice");

            // Long enough for a few more tries.
            Thread.Sleep(700);
            Check.That(!run.IsCompleted, "expected it to wait");
        }

        Check.Equal(hub.Snapshot, run.GetAwaiter().GetResult(), "folder");
        Check.That(
            Notices() is [var notice] && notice.Contains("another process holds the lock of model.safetensors", StringComparison.Ordinal),
            $"expected one notice, found {string.Join("; ", Notices())}");

        string[] Notices()
        {
            lock (heard)
            {
                return [.. heard.Select(report => report.Notice).OfType<string>()];
            }
        }
    }

    private static void Progress()
    {
        using var hub = new TinyHub();
        var heard = new List<HubProgress>();
        hub.Fetch(hub.Options with { Progress = new Heard(heard) });
        var total = hub.Files.Values.Sum(content => content.Length);
        Check.That(heard.All(report => report.TotalBytes == total && report.TotalFiles == 3), "expected the whole from the start");
        Check.Equal(total, heard[^1].Bytes, "bytes in the end");
        Check.Equal(3, heard[^1].Files, "files in the end");
        heard.Clear();
        hub.Fetch(hub.Options with { Progress = new Heard(heard) });
        Check.Equal(0, heard.Count, "reports where the cache holds all");
    }

    private static void Repairs()
    {
        using var hub = new TinyHub();
        hub.Fetch();
        File.Delete(hub.Blob("model.safetensors"));
        hub.Fetch();
        Check.Same(hub.Files["model.safetensors"], File.ReadAllBytes(Path.Combine(hub.Snapshot, "model.safetensors")), "deleted");

        Directory.Delete(hub.Snapshot, recursive: true);
        File.WriteAllText(hub.Blob("model.safetensors"), "cut");
        hub.Fetch();
        Check.Same(hub.Files["model.safetensors"], File.ReadAllBytes(Path.Combine(hub.Snapshot, "model.safetensors")), "cut");
    }

    private sealed class Heard(List<HubProgress> reports) : IProgress<HubProgress>
    {
        public void Report(HubProgress value)
        {
            lock (reports)
            {
                reports.Add(value);
            }
        }
    }
}
