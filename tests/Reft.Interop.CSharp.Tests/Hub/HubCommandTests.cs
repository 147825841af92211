using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Expecto;
using Expecto.CSharp;
using Reft.Tests.Cli;

namespace Reft.Tests.Hub;

/// <summary><c>reft</c> with names of the hub, whose address comes from the environment.</summary>
public static class HubCommandTests
{
    /// <summary>The command line and the environment.</summary>
    [Tests]
    public static readonly Test Commands = Runner.TestList(
        "Hub command line",
        [
            Runner.TestCase("score, train and inspect take a name, then the cache alone", TakesNames),
            Runner.TestCase("cache and token come from the environment", ReadsEnvironment),
            Runner.TestCase("a token file that cannot be used matters only where it is needed", BadTokenFile),
            Runner.TestCase("wrong names, revisions and endpoints end with one line", Errors),
            Runner.TestCase("an interrupt of a download ends with 130, and the next run goes on", Interrupted),
            Runner.TestCase("HTTPS is never left for HTTP", NoDowngrade),
        ]);

    private static void TakesNames()
    {
        using var hub = new TinyHub();
        var rows = Rows(hub);
        string[] score = ["score", "--model", "org/tiny", "--input", rows, "--json"];
        var direct = ReftProcess.Run("score", "--model", TinyLlama.Folder, "--input", rows, "--json").Succeeded();
        var fetched = ReftProcess.Run(score, Environment(hub)).Succeeded();
        Check.Equal(direct.Output, fetched.Output, "stdout");
        Check.That(fetched.Errors.Contains("downloading org/tiny", StringComparison.Ordinal), $"expected progress on stderr, found: {fetched.Errors}");

        var asked = hub.Server.Requests.Count;
        var offline = ReftProcess.Run([.. score, "--offline", "--revision", TinyHub.Commit], Environment(hub)).Succeeded();
        Check.Equal(direct.Output, offline.Output, "stdout, offline");
        Check.That(!offline.Errors.Contains("downloading", StringComparison.Ordinal), $"expected no download, found: {offline.Errors}");
        ReftProcess.Run(["inspect", "org/tiny", "--json"], [.. Environment(hub), ("HF_HUB_OFFLINE", "1")]).Succeeded();
        var data = Path.Combine(hub.Home, "data.jsonl");
        File.WriteAllLines(data, Enumerable.Range(0, 4).Select(i => $$"""{"input_ids": [1, {{30 + i}}, 20, 21], "prompt_length": 2}"""));
        ReftProcess.Run(
            ["train", "--model", "org/tiny", "--offline", "--data", data, "--output", Path.Combine(hub.Home, "adapter"), "--epochs", "1"], Environment(hub)).Succeeded();
        Check.Equal(asked, hub.Server.Requests.Count, "requests");
    }

    private static void ReadsEnvironment()
    {
        using var hub = new TinyHub();
        var token = Path.Combine(hub.Home, "token");
        File.WriteAllText(token, "hf_file\n");
        (string, string)[] common = [("HF_ENDPOINT", hub.Server.Address.ToString()), ("HF_TOKEN", ""), ("HUGGING_FACE_HUB_TOKEN", ""), ("HF_HUB_CACHE", "")];

        // $HF_HOME/hub and $HF_HOME/token; $HF_HUB_CACHE; $XDG_CACHE_HOME/huggingface; ~/.cache/huggingface.
        (string Folder, string? Token, (string, string)[] Variables)[] cases =
        [
            ("hub", "Bearer hf_file", [("HF_HOME", hub.Home)]),
            ("elsewhere", "Bearer hf_variable", [("HF_HOME", hub.Home), ("HF_HUB_CACHE", Path.Combine(hub.Home, "elsewhere")), ("HF_TOKEN", "hf_variable")]),
            ("xdg/huggingface/hub", "Bearer hf_old", [("HF_HOME", ""), ("XDG_CACHE_HOME", Path.Combine(hub.Home, "xdg")), ("HUGGING_FACE_HUB_TOKEN", "hf_old")]),
            ("home/.cache/huggingface/hub", "Bearer hf_file", [("HF_HOME", ""), ("XDG_CACHE_HOME", ""), ("HOME", Path.Combine(hub.Home, "home")), ("HF_TOKEN_PATH", token)]),
        ];
        foreach (var (folder, expected, variables) in cases)
        {
            // The weights are not needed to see where things go.
            hub.Override = hub.Content("model.safetensors", _ => Reply.Of(404));
            var before = hub.Server.Requests.Count;
            ReftProcess.Run(["inspect", "org/tiny"], [.. common, .. variables]);
            Check.Equal(expected, hub.Server.Requests[before].Header("Authorization"), $"the token for {folder}");
            Check.That(Directory.Exists(Path.Combine(hub.Home, folder, "models--org--tiny")), $"expected the cache in {folder}");
        }
    }

    private static void BadTokenFile()
    {
        using var hub = new TinyHub();
        hub.Fetch();
        var token = Path.Combine(hub.Home, "token");
        string[] inspect = ["inspect", "org/tiny"];
        (string, string)[] environment = [.. Environment(hub), ("HF_TOKEN_PATH", token)];

        // Nobody else can read it meanwhile, not even root.
        using (new FileStream(token, FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            ReftProcess.Run(inspect, environment).FailedWith(1, token, "cannot be read", "HF_TOKEN");
        }

        File.WriteAllText(token, new string('a', 5000));
        ReftProcess.Run(inspect, environment).FailedWith(1, token, "at most 4096 characters");
        var before = hub.Server.Requests.Count;
        ReftProcess.Run([.. inspect, "--offline"], environment).Succeeded();
        ReftProcess.Run([.. inspect, "--offline"], [.. environment, ("HF_TOKEN", "no token")]).Succeeded();
        Check.Equal(before, hub.Server.Requests.Count, "requests, offline");
        ReftProcess.Run(inspect, [.. environment, ("HF_TOKEN", "hf_variable")]).Succeeded();
        Check.Equal("Bearer hf_variable", hub.Server.Requests[^1].Header("Authorization"), "the token");
    }

    private static void Errors()
    {
        using var hub = new TinyHub();
        ReftProcess.Run(["inspect", "org/none"], Environment(hub)).FailedWith(1, "no model 'org/none'");
        ReftProcess.Run(["inspect", "org/tiny", "--revision", "../x"], Environment(hub)).FailedWith(1, "'../x' is no revision");
        foreach (var revision in new[] { "main", TinyHub.Commit })
        {
            ReftProcess.Run(["inspect", $"org/tiny@{TinyHub.Commit}", "--revision", revision], Environment(hub))
                .FailedWith(1, $"'org/tiny@{TinyHub.Commit}'", "--revision");
        }

        Check.Equal(1, hub.Server.Requests.Count, "requests: that for org/none");
        ReftProcess.Run(["inspect", TinyLlama.Folder, "--revision", "main"], Environment(hub)).FailedWith(1, "--revision", "is a folder");
        ReftProcess.Run(["inspect", "org/tiny", "--offline"], Environment(hub)).FailedWith(1, "org/tiny", "offline");
        ReftProcess.Run(["inspect", "org/tiny"], [.. Environment(hub), ("HF_ENDPOINT", "http://example.invalid")]).FailedWith(1, "HF_ENDPOINT", "https");
        ReftProcess.Run(["inspect", "org/tiny"], [.. Environment(hub), ("HF_TOKEN", "hf secret")]).FailedWith(1, "HF_TOKEN", "not shown");
        hub.Override = _ => Reply.Of(401);
        ReftProcess.Run(["inspect", "org/tiny"], Environment(hub)).FailedWith(1, "401", "HF_TOKEN");
    }

    private static void Interrupted()
    {
        using var hub = new TinyHub();
        const int Some = 5000;
        hub.Override = hub.Content("model.safetensors", _ => new Reply(200, hub.Files["model.safetensors"]) { Stop = Some, Stalls = true });
        var data = Path.Combine(hub.Home, "data.jsonl");
        File.WriteAllText(data, """{"input_ids": [1, 30, 20, 21], "prompt_length": 2}""");
        var output = Path.Combine(hub.Home, "adapter");
        var outcome = ReftProcess.Interrupt(
            "downloading", Environment(hub), "train", "--model", "org/tiny", "--data", data, "--output", output);
        Check.Equal(130, outcome.ExitCode, $"exit code ({outcome.Errors})");
        Check.Equal("", outcome.Output, "stdout");
        Check.That(!Directory.Exists(output), "expected no adapter");
        Check.That(outcome.Errors.Contains("being fetched", StringComparison.Ordinal), $"expected what was stopped, found: {outcome.Errors}");

        hub.Override = _ => null;
        hub.Fetch();
    }

    // The system's own list of authorities is read from SSL_CERT_FILE, so that a process can trust a server of this test.
    private static void NoDowngrade()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        using var hub = new TinyHub(certificate);
        var trusted = Path.Combine(hub.Home, "trusted.pem");
        File.WriteAllText(trusted, certificate.ExportCertificatePem());

        ReftProcess.Run(["inspect", "org/tiny"], Environment(hub)).FailedWith(1, "org/tiny", "certificate");
        Check.Equal(0, hub.Server.Requests.Count, "requests over a connection that is not trusted");

        // The hub's large files lie behind a redirect to http://localhost, which is refused from https://localhost.
        (string, string)[] environment = [.. Environment(hub), ("SSL_CERT_FILE", trusted)];
        ReftProcess.Run(["inspect", "org/tiny"], environment).FailedWith(1, "model.safetensors", "https://localhost to http://localhost");
        Check.That(hub.Server.Requests.Count > 3, "expected the small files over HTTPS");
        Check.That(hub.Server.Requests.All(asked => !asked.Path.StartsWith("/storage", StringComparison.Ordinal)), "expected no request to the storage");
    }

    private static (string, string)[] Environment(TinyHub hub) =>
    [
        ("HF_ENDPOINT", hub.Server.Address.ToString()), ("HF_HUB_CACHE", hub.Cache), ("HF_HOME", hub.Home), ("HF_TOKEN", ""),
        ("HUGGING_FACE_HUB_TOKEN", ""), ("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", ""),
    ];

    private static string Rows(TinyHub hub)
    {
        var path = Path.Combine(hub.Home, "rows.jsonl");
        File.WriteAllText(path, """{"input_ids": [1, 20, 21, 22]}""");
        return path;
    }
}
