using Reft.Internal;

namespace Reft;

/// <summary>What a saved adapter says of itself; read without its base model.</summary>
public sealed record AdapterInfo
{
    /// <summary>The family of the model it was trained on, e.g. <c>llama</c>.</summary>
    public required string BaseFamily { get; init; }

    /// <summary>The fingerprint of the model it was trained on.</summary>
    public required string BaseFingerprint { get; init; }

    /// <summary>The version of the library that wrote it.</summary>
    public required string LibraryVersion { get; init; }

    /// <summary>Its trainable numbers.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>The weights of the model it was trained on, in numbers; null where the file does not say.</summary>
    public long? BaseParameters { get; init; }

    /// <summary>Trainable numbers per hundred weights of the base model; null where the file does not say.</summary>
    public double? TrainablePercent => 100.0 * TrainableParameters / BaseParameters;

    /// <summary>The classification head that was saved with the interventions; null where there is none.</summary>
    public ClassifierDescription? Classifier { get; init; }

    /// <summary>How the model itself is tuned, e.g. <c>lora(rank=8, alpha=16)</c>; null where it is not.</summary>
    public string? Tuning { get; init; }

    /// <summary>Each placement, in order.</summary>
    public required IReadOnlyList<PlacementDescription> Placements { get; init; }

    /// <summary>Whether a folder looks like an adapter: it holds <c>reft.json</c>.</summary>
    public static bool Exists(string folder) => File.Exists(ManifestOf(folder));

    /// <summary>Reads <c>reft.json</c>.</summary>
    /// <exception cref="FileNotFoundException">The folder is not an adapter.</exception>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static AdapterInfo Read(string folder)
    {
        if (!Exists(folder))
        {
            throw new FileNotFoundException($"{folder} is not an adapter: it has no reft.json", ManifestOf(folder));
        }

        var root = Core.JsonValueModule.read(LargestManifest, ManifestOf(folder));
        var baseModel = Core.JsonValueModule.field("base_model", root);
        return new AdapterInfo
        {
            BaseFamily = Text("model_type", baseModel),
            BaseFingerprint = Text("fingerprint", baseModel),
            LibraryVersion = Text("library_version", root),
            TrainableParameters = Core.JsonValueModule.natural(Core.JsonValueModule.field("trainable_parameters", root)),
            BaseParameters = Core.JsonValueModule.tryField("parameters", baseModel).ValueOrNull() is { } count
                ? Core.JsonValueModule.natural(count)
                : null,
            Classifier = Core.JsonValueModule.tryField("head", root).ValueOrNull() is { } head ? Head(head) : null,
            Tuning = Core.JsonValueModule.tryField("tuning", root).ValueOrNull() is { } tuning
                ? Core.FormJson.read(tuning).ToString()
                : null,
            Placements = [.. Core.JsonValueModule.items(Core.JsonValueModule.field("placements", root)).Select(Placement)],
        };
    }

    private const int LargestManifest = 16_777_216;

    private static string ManifestOf(string folder) => Path.Combine(folder, "reft.json");

    private static string Text(string key, Core.JsonValue value) =>
        Core.JsonValueModule.@string(Core.JsonValueModule.field(key, value));

    private static ClassifierDescription Head(Core.JsonValue value)
    {
        var problem = Text("problem", value);
        var known = Core.SequenceTaskModule.problems.FirstOrDefault(pair => pair.Item2 == problem)
            ?? throw Core.JsonValueModule.unexpected(
                $"one of {string.Join(", ", Core.SequenceTaskModule.problems.Select(pair => pair.Item2))}",
                Core.JsonValueModule.field("problem", value));
        return new ClassifierDescription(
            known.Item1.ToFacade(),
            [.. Core.JsonValueModule.items(Core.JsonValueModule.field("labels", value)).Select(Core.JsonValueModule.@string)],
            Core.JsonValueModule.natural(Core.JsonValueModule.field("parameters", value)),
            Core.JsonValueModule.natural(Core.JsonValueModule.field("trainable_parameters", value)));
    }

    private static PlacementDescription Placement(Core.JsonValue value) =>
        new(
            Text("site", value),
            Text("positions", value),
            Core.FormJson.read(Core.JsonValueModule.field("intervention", value)).ToString(),
            InterventionPhase.Read(Core.JsonValueModule.field("phase", value)),
            Text("tying", value) switch
            {
                "tied" => ParameterTying.Tied,
                "groups" => ParameterTying.Groups,
                "each_position" => ParameterTying.EachPosition,
                _ => throw Core.JsonValueModule.unexpected("one of tied, groups, each_position", Core.JsonValueModule.field("tying", value)),
            },
            Core.JsonValueModule.tryField("share", value).ValueOrNull() is { } name ? Core.JsonValueModule.@string(name) : null);
}
