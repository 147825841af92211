using System.Buffers.Binary;
using System.Text.Json;

namespace Reft.Tests;

/// <summary>A Llama of hidden 512 with random weights in bf16: large enough for products on several threads.</summary>
internal static class RandomLlama
{
    private const int Hidden = 512;
    private const int Inner = 1376;
    private const int KeyValue = 256;
    private const int Vocabulary = 256;
    private const int Layers = 2;

    /// <summary>Writes its folder.</summary>
    public static string Write(string folder)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(new
        {
            architectures = new[] { "LlamaForCausalLM" },
            attention_bias = false,
            bos_token_id = 1,
            dtype = "bfloat16",
            eos_token_id = 2,
            head_dim = 64,
            hidden_act = "silu",
            hidden_size = Hidden,
            intermediate_size = Inner,
            max_position_embeddings = 128,
            mlp_bias = false,
            model_type = "llama",
            num_attention_heads = 8,
            num_hidden_layers = Layers,
            num_key_value_heads = 4,
            pad_token_id = 0,
            rms_norm_eps = 1e-5,
            rope_parameters = new { rope_theta = 10000.0, rope_type = "default" },
            tie_word_embeddings = false,
            vocab_size = Vocabulary,
        }));

        var tensors = Shapes().ToArray();
        var offset = 0L;
        var header = new Dictionary<string, object>();
        foreach (var (name, shape) in tensors)
        {
            var bytes = 2L * shape.Aggregate(1, (a, b) => a * b);
            header[name] = new { dtype = "BF16", shape, data_offsets = new[] { offset, offset + bytes } };
            offset += bytes;
        }

        using var file = File.Create(Path.Combine(folder, "model.safetensors"));
        var json = JsonSerializer.SerializeToUtf8Bytes(header);
        Array.Resize(ref json, (json.Length + 7) / 8 * 8);
        json.AsSpan(Array.IndexOf(json, (byte)0) is >= 0 and var end ? end : json.Length).Fill((byte)' ');
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        file.Write(length);
        file.Write(json);
        var random = new Random(1);
        foreach (var (name, shape) in tensors)
        {
            var norm = name.Contains("norm", StringComparison.Ordinal);
            var data = new byte[2 * shape.Aggregate(1, (a, b) => a * b)];
            for (var i = 0; i < data.Length; i += 2)
            {
                // A bf16 is the upper half of a float.
                var value = norm ? 1f : (float)((random.NextDouble() - 0.5) * 0.15);
                BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(i), (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16));
            }

            file.Write(data);
        }

        return folder;
    }

    private static IEnumerable<(string Name, int[] Shape)> Shapes()
    {
        yield return ("model.embed_tokens.weight", [Vocabulary, Hidden]);
        for (var layer = 0; layer < Layers; layer++)
        {
            var prefix = FormattableString.Invariant($"model.layers.{layer}.");
            yield return (prefix + "input_layernorm.weight", [Hidden]);
            yield return (prefix + "self_attn.q_proj.weight", [Hidden, Hidden]);
            yield return (prefix + "self_attn.k_proj.weight", [KeyValue, Hidden]);
            yield return (prefix + "self_attn.v_proj.weight", [KeyValue, Hidden]);
            yield return (prefix + "self_attn.o_proj.weight", [Hidden, Hidden]);
            yield return (prefix + "post_attention_layernorm.weight", [Hidden]);
            yield return (prefix + "mlp.gate_proj.weight", [Inner, Hidden]);
            yield return (prefix + "mlp.up_proj.weight", [Inner, Hidden]);
            yield return (prefix + "mlp.down_proj.weight", [Hidden, Inner]);
        }

        yield return ("model.norm.weight", [Hidden]);
        yield return ("lm_head.weight", [Vocabulary, Hidden]);
    }
}
