using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>Small JSON files, whole or not there.</summary>
internal static class JsonFiles
{
    public static void Write(string path, JsonNode json)
    {
        Action<Stream> write = stream => stream.Write(Encoding.UTF8.GetBytes(json.ToJsonString(RecipeFiles.Indented) + "\n"));
        Core.AtomicFile.write(path, write.ToFSharpFunc());
    }

    /// <summary>The object of a file; null where there is none.</summary>
    /// <exception cref="InvalidDataException">The file holds something else.</exception>
    /// <param name="path">The file.</param>
    /// <param name="wayOut">What a user does about a damaged one.</param>
    public static JsonObject? Read(string path, string wayOut = "remove the file to run it again")
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            return JsonNode.Parse(File.ReadAllText(path)) as JsonObject
                ?? throw new InvalidDataException($"{path}: expected a JSON object, found something else: {wayOut}");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            throw new InvalidDataException($"{path}: not valid JSON: {e.Message}: {wayOut}", e);
        }
    }
}
