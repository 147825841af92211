using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>Files of recipes: one recipe, or settings in common and variants that set some of them.</summary>
internal static class RecipeFiles
{
    private const string Prefix = "Reft.recipes.";
    private const string Variants = "variants";
    private const string Extension = ".json";

    // The largest of the library has 8 variants in 6 kB.
    private const int LargestFile = 1_000_000;
    private const int MostVariants = 1000;
    private const int MostParts = 3;
    private const int MostInAll = 16_000_000;

    private static readonly JsonDocumentOptions Reading = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        AllowDuplicateProperties = false,
        MaxDepth = 16,
    };

    public static JsonSerializerOptions Indented { get; } = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The recipes within the library, by name.</summary>
    public static Lazy<IReadOnlyList<Recipe>> Shipped { get; } = new(() =>
    {
        var library = Assembly.GetExecutingAssembly();
        return
        [
            .. library.GetManifestResourceNames()
                .Where(name => name.StartsWith(Prefix, StringComparison.Ordinal))
                .Select(name => (Name: name[Prefix.Length..^Extension.Length], Resource: name))
                .SelectMany(file =>
                {
                    using var reader = new StreamReader(library.GetManifestResourceStream(file.Resource)!);
                    return Parse(file.Name, reader.ReadToEnd(), file.Name + Extension);
                })
                .OrderBy(recipe => recipe.Name, StringComparer.Ordinal),
        ];
    });

    /// <summary>The recipes of a file: one of its name, or one for each variant, of its name and the variant's.</summary>
    public static IReadOnlyList<Recipe> Parse(string name, string text, string source)
    {
        if (text.Length > LargestFile)
        {
            throw TooLarge(source);
        }

        var json = ObjectOf(text, source);
        if (!json.Remove(Variants, out var variants))
        {
            return [Recipe.Of(name, json, source)];
        }

        if (variants is not JsonObject { Count: > 0 } several)
        {
            throw new InvalidDataException($"{source}: key '{Variants}': expected an object of variants by name");
        }

        if (several.Count > MostVariants)
        {
            throw new InvalidDataException($"{source}: key '{Variants}': expected {MostVariants} variants at most, found {several.Count}");
        }

        // Each variant has all that is in common.
        if ((long)json.ToJsonString().Length * several.Count > MostInAll)
        {
            throw new InvalidDataException(
                $"{source}: key '{Variants}': {several.Count} variants of these settings are more than {MostInAll / LargestFile} MB: expected fewer, or shorter settings");
        }

        return [.. several.Select(variant => Variant(json, variant.Key, variant.Value, name, source))];
    }

    /// <summary>The recipes of a file.</summary>
    /// <exception cref="InvalidDataException">It is too large, or holds something else.</exception>
    public static IReadOnlyList<Recipe> Load(string path)
    {
        // A pipe has no length to ask for: one byte more than there may be is enough to tell.
        using var file = File.OpenRead(path);
        var bytes = new byte[LargestFile + 1];
        var count = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        if (count > LargestFile)
        {
            throw TooLarge(path);
        }

        using var reader = new StreamReader(new MemoryStream(bytes, 0, count));
        return Parse(Path.GetFileNameWithoutExtension(path), reader.ReadToEnd(), path);
    }

    /// <summary>Sets a key, which may be one within a part: <c>training.epochs</c>. Whether there is such a key, reading decides.</summary>
    public static void Set(JsonObject json, string key, JsonNode? value, string source)
    {
        if (key.Count('.') >= MostParts)
        {
            throw new InvalidDataException($"{source}: key '{Shown(key)}': there is no such key: expected {MostParts} parts at most");
        }

        var names = key.Split('.');
        var section = json;
        foreach (var name in names[..^1])
        {
            section = section[name] switch
            {
                null => (JsonObject)(section[name] = new JsonObject()),
                JsonObject inner => inner,
                _ => throw new InvalidDataException($"{source}: key '{key}': there is no such key"),
            };
        }

        section[names[^1]] = value;
    }

    /// <summary>A value as it stands on a command line: JSON where it is JSON, else a text.</summary>
    public static JsonNode? Value(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return JsonValue.Create(text);
        }
    }

    private static InvalidDataException TooLarge(string source) =>
        new($"{source}: expected a recipe of {LargestFile / 1_000_000} MB at most, found more");

    private static string Shown(string key) => key.Length <= 60 ? key : key[..60] + "…";

    private static Recipe Variant(JsonObject common, string variant, JsonNode? settings, string name, string source)
    {
        var json = (JsonObject)common.DeepClone();
        foreach (var (key, value) in settings as JsonObject
            ?? throw new InvalidDataException($"{source}: key '{Variants}.{variant}': expected an object of settings"))
        {
            Set(json, key, value?.DeepClone(), source);
        }

        return Recipe.Of($"{name}-{variant}", json, $"{source}, variant '{variant}'");
    }

    private static JsonObject ObjectOf(string text, string source)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: Reading) as JsonObject
                ?? throw new InvalidDataException($"{source}: expected a JSON object, found something else");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            throw new InvalidDataException($"{source}: not valid JSON: {e.Message}", e);
        }
    }
}
