using Parquet;
using Parquet.Serialization;

namespace Reft.Tests.Data;

/// <summary>Small Parquet files.</summary>
internal static class ParquetRows
{
    public static void Write<T>(string path, int groupSize, IEnumerable<T> rows, CompressionMethod compression = CompressionMethod.Snappy)
    {
        using var stream = File.Create(path);
        ParquetSerializer.SerializeAsync(
            rows, stream, new ParquetOptions { RowGroupSize = groupSize, CompressionMethod = compression }).GetAwaiter().GetResult();
    }
}

/// <summary>A pair of texts.</summary>
internal sealed class PairRow
{
    [System.Text.Json.Serialization.JsonPropertyName("prompt")]
    public string? Prompt { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("completion")]
    public string? Completion { get; set; }
}

/// <summary>A text with a number.</summary>
internal sealed class LabelRow
{
    [System.Text.Json.Serialization.JsonPropertyName("text")]
    public string? Text { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("label")]
    public long? Label { get; set; }
}

/// <summary>Token ids.</summary>
internal sealed class IdsRow
{
    [System.Text.Json.Serialization.JsonPropertyName("input_ids")]
    public List<int>? InputIds { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("labels")]
    public List<long>? Labels { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("prompt_length")]
    public int? PromptLength { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("when")]
    public DateTime When { get; set; }
}

/// <summary>A conversation, as datasets on the hub hold them.</summary>
internal sealed class ChatRow
{
    [System.Text.Json.Serialization.JsonPropertyName("messages")]
    public List<ChatTurn>? Messages { get; set; }
}

/// <summary>A message of it.</summary>
internal sealed class ChatTurn
{
    [System.Text.Json.Serialization.JsonPropertyName("role")]
    public string? Role { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("content")]
    public string? Content { get; set; }
}

/// <summary>A map where a text is expected.</summary>
internal sealed class MapRow
{
    [System.Text.Json.Serialization.JsonPropertyName("text")]
    public Dictionary<string, int>? Text { get; set; }

    [System.Text.Json.Serialization.JsonPropertyName("meta")]
    public Dictionary<string, int>? Meta { get; set; }
}
