using System.Text.Json;

namespace Reft.Internal;

/// <summary>Which files of a repository make a model here. Pickled weights and other formats are never fetched.</summary>
internal static class ModelFiles
{
    public const string Config = "config.json";
    public const string Weights = "model.safetensors";
    public const string Index = "model.safetensors.index.json";

    /// <summary>As much as the reader of the index takes.</summary>
    private const int MostIndexBytes = 100_000_000;

    private static readonly string[] Small =
    [
        Config, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
        "chat_template.json",
    ];

    /// <summary>Configuration and tokenizer, and the list of shards if there is one: what is fetched before the weights.</summary>
    /// <exception cref="HubException">The repository holds no model, or none in safetensors.</exception>
    public static IReadOnlyList<string> BeforeWeights(HubRepository repository, IReadOnlySet<string> files)
    {
        if (!files.Contains(Config))
        {
            throw new HubException($"{repository} holds no {Config}: it is no model in the format of transformers");
        }

        if (!files.Contains(Weights) && !files.Contains(Index))
        {
            var found = files.FirstOrDefault(IsPickled) is { } pickled ? $"pickled weights ('{HubNames.Shown(pickled)}'), which may run code when they are read and are never loaded"
                : files.FirstOrDefault(IsGguf) is { } gguf ? $"GGUF weights ('{HubNames.Shown(gguf)}'), which are not supported"
                : "no weights";
            throw new HubException(
                $"{repository}: expected {Weights} or {Index}, found {found}. Look for a revision or another repository with safetensors, or convert them");
        }

        return [.. Small.Where(files.Contains), .. files.Contains(Weights) ? [] : new[] { Index }];
    }

    /// <summary>The names of the shards that an index lists, all fit to be a file's name.</summary>
    /// <exception cref="HubException">The index is damaged, or names something else.</exception>
    public static IReadOnlyList<string> Shards(HubRepository repository, string index)
    {
        if (new FileInfo(index).Length > MostIndexBytes)
        {
            throw new HubException($"{repository}: {Index} has more than {MostIndexBytes} bytes");
        }

        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(index), new JsonDocumentOptions { MaxDepth = 32 });
            var shards = document.RootElement.GetProperty("weight_map").EnumerateObject()
                .Select(entry => entry.Value.GetString() ?? "")
                .Distinct(StringComparer.Ordinal)
                .ToArray();
            return shards.FirstOrDefault(shard => !IsShard(shard)) is { } bad
                ? throw new HubException($"{repository}: {Index} names '{HubNames.Shown(bad)}': expected the plain name of a .safetensors file")
                : shards;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new HubException($"{repository}: {Index} is no list of shards: expected JSON with 'weight_map'", e);
        }
    }

    /// <summary>What a folder lacks to be loaded: names of files, none where it is complete.</summary>
    public static IReadOnlyList<string> Missing(HubRepository repository, string folder)
    {
        bool Has(string file) => HubCache.Holds(folder, file);
        return
            !Has(Config) ? [Config]
            : Has(Weights) ? []
            : !Has(Index) ? [Weights]
            : [.. Shards(repository, Path.Combine(folder, Index)).Where(shard => !Has(shard))];
    }

    private static bool IsShard(string name) => HubNames.IsPlainFile(name) && name.EndsWith(".safetensors", StringComparison.Ordinal);

    private static bool IsPickled(string name) =>
        name.EndsWith(".bin", StringComparison.Ordinal) || name.EndsWith(".pth", StringComparison.Ordinal) || name.EndsWith(".pt", StringComparison.Ordinal);

    private static bool IsGguf(string name) => name.EndsWith(".gguf", StringComparison.Ordinal);
}
