using System.Text.Json;

namespace Reft.Reproduction;

/// <summary>What a plan has to know of a model without loading it.</summary>
internal static class ModelShape
{
    /// <summary>The number of layers, from its configuration.</summary>
    public static int Layers(string folder)
    {
        using var config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json")));
        return config.RootElement.GetProperty("num_hidden_layers").GetInt32();
    }
}
