using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Reft.Tests.Cli;

/// <summary>The right-padded golden rows of the smallest Llama, with the reference's log-probabilities.</summary>
internal static class GoldenRows
{
    private static readonly byte[] File = System.IO.File.ReadAllBytes(
        RepositoryFiles.At("tests/golden/a_models/llama/golden.safetensors"));

    /// <summary>Each row's ids, and log p(id[i + 1] | id[0 … i]) from the reference's logits, in fp64.</summary>
    public static IReadOnlyList<(int[] Ids, double[] LogProbs)> Read()
    {
        var (ids, shape) = Tensor<long>("right.input_ids");
        var (mask, _) = Tensor<long>("right.attention_mask");
        var (logits, logitShape) = Tensor<float>("right.logits");
        var (rows, columns, vocabulary) = (shape[0], shape[1], logitShape[2]);
        return
        [
            .. Enumerable.Range(0, rows).Select(row =>
            {
                var length = Enumerable.Range(0, columns).Count(column => mask[(row * columns) + column] == 1);
                int[] own = [.. ids.Skip(row * columns).Take(length).Select(id => (int)id)];
                double[] scores =
                [
                    .. Enumerable.Range(0, length - 1).Select(i =>
                    {
                        var at = logits.AsSpan(((row * columns) + i) * vocabulary, vocabulary).ToArray();
                        var largest = (double)at.Max();
                        return at[own[i + 1]] - largest - Math.Log(at.Sum(logit => Math.Exp(logit - largest)));
                    }),
                ];
                return (own, scores);
            }),
        ];
    }

    private static (T[] Numbers, int[] Shape) Tensor<T>(string name)
        where T : struct
    {
        var length = (int)BinaryPrimitives.ReadInt64LittleEndian(File);
        using var header = JsonDocument.Parse(File.AsMemory(8, length));
        var entry = header.RootElement.GetProperty(name);
        var offsets = entry.GetProperty("data_offsets").EnumerateArray().Select(offset => offset.GetInt32()).ToArray();
        var bytes = File.AsSpan(8 + length)[offsets[0]..offsets[1]];
        return (MemoryMarshal.Cast<byte, T>(bytes).ToArray(), [.. entry.GetProperty("shape").EnumerateArray().Select(n => n.GetInt32())]);
    }
}
