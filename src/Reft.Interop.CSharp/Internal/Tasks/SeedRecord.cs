using System.Text.Json;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>A seed's result in a file.</summary>
internal static class SeedRecord
{
    private static readonly JsonSerializerOptions Names = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static JsonNode ToJson(SeedResult result) => JsonSerializer.SerializeToNode(result, Names)!;

    /// <summary>What a file holds; null where there is none.</summary>
    /// <exception cref="InvalidDataException">The file holds something else.</exception>
    public static SeedResult? Read(string path)
    {
        try
        {
            return JsonFiles.Read(path)?.Deserialize<SeedResult>(Names);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path}: it is no result of a seed: {e.Message}: remove the file to run it again", e);
        }
    }
}
