using System.Globalization;

namespace Reft.Internal;

/// <summary>Options in which nothing is left open: what the caller said, else the environment, else the defaults.</summary>
internal sealed record HubSettings(Uri Endpoint, string? Token, string CacheFolder, bool Offline, HubOptions Options)
{
    private const string DefaultEndpoint = "https://huggingface.co";
    private const int LongestToken = 4096;

    /// <summary>As much as Polly takes.</summary>
    private static readonly TimeSpan LongestDelay = TimeSpan.FromDays(1);
    private static readonly string[] TokenVariables = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];

    /// <exception cref="ArgumentException">An option, or a variable that stands in for it, cannot be used.</exception>
    public static HubSettings Of(HubOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.Retries);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.RetryDelay, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.RetryDelay, LongestDelay);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.StallTimeout, TimeSpan.Zero);
        var offline = options.Offline ?? (IsOn("HF_HUB_OFFLINE") || IsOn("TRANSFORMERS_OFFLINE"));
        return new HubSettings(
            EndpointOf(options),
            offline ? null : TokenOf(options),
            Path.GetFullPath(CacheOf(options)),
            offline,
            options);
    }

    // Over plain HTTP anyone on the way reads the token and chooses the hashes that the files are checked against. On a
    // loopback address there is no way to stand on.
    private static Uri EndpointOf(HubOptions options)
    {
        var text = options.Endpoint?.OriginalString ?? Variable("HF_ENDPOINT") ?? DefaultEndpoint;
        var source = options.Endpoint is null && Variable("HF_ENDPOINT") is not null ? "HF_ENDPOINT" : nameof(HubOptions.Endpoint);
        return Uri.TryCreate(text, UriKind.Absolute, out var address)
            && (address.Scheme == Uri.UriSchemeHttps || (address.Scheme == Uri.UriSchemeHttp && address.IsLoopback))
            && address is { UserInfo: "", Query: "", Fragment: "" }
            ? address
            : throw new ArgumentException(
                $"{source}: expected an https:// address (http:// only for this machine itself), without user, query or fragment, found '{HubNames.Shown(text)}'");
    }

    private static string? TokenOf(HubOptions options)
    {
        var (source, text) = options.Token is { } given
            ? (nameof(HubOptions.Token), given)
            : TokenVariables.FirstOrDefault(name => Variable(name) is not null) is { } variable ? (variable, Variable(variable))
            : TokenFile();
        var token = text?.Trim();
        return string.IsNullOrEmpty(token) ? null
            : token.Length <= LongestToken && token.All(c => c is > ' ' and < '\x7f') ? token
            : throw new ArgumentException($"{source}: expected an access token of plain characters; its content is not shown here");
    }

    private static (string Source, string? Text) TokenFile()
    {
        var path = Home(Variable("HF_TOKEN_PATH") ?? Path.Combine(HuggingFaceHome(), "token"));
        if (!File.Exists(path))
        {
            return (path, null);
        }

        try
        {
            return new FileInfo(path).Length <= LongestToken
                ? (path, File.ReadAllText(path))
                : throw new ArgumentException($"{path}: expected an access token of at most {LongestToken} characters");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException(
                $"{path}: the access token in it cannot be read ({e.Message}). Put a token into the environment variable HF_TOKEN, or move the file away", e);
        }
    }

    private static string CacheOf(HubOptions options) =>
        options.CacheFolder is { Length: > 0 } folder
            ? folder
            : Home(Variable("HF_HUB_CACHE") ?? Variable("HUGGINGFACE_HUB_CACHE") ?? Path.Combine(HuggingFaceHome(), "hub"));

    private static string HuggingFaceHome() =>
        Home(Variable("HF_HOME")
            ?? Path.Combine(Variable("XDG_CACHE_HOME") ?? Path.Combine("~", ".cache"), "huggingface"));

    private static string Home(string path) =>
        path == "~" || path.StartsWith("~/", StringComparison.Ordinal) || path.StartsWith(@"~\", StringComparison.Ordinal)
            ? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify) + path[1..]
            : path;

    private static bool IsOn(string variable) =>
        Variable(variable)?.ToUpper(CultureInfo.InvariantCulture) is "1" or "ON" or "YES" or "TRUE";

    private static string? Variable(string name) =>
        Environment.GetEnvironmentVariable(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value : null;
}
