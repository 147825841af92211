namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// The keys and values of the tokens seen so far, in buffers that are allocated once for a whole generation.
/// </summary>
/// <remarks>Decoding writes into it in place: it is the one mutable thing that a forward pass touches.</remarks>
[<Sealed>]
type KvCache private (keys: Tensor[], values: Tensor[], capacity: int) =

    /// <summary>A cache for <paramref name="capacity"/> columns.</summary>
    /// <param name="layers">The number of blocks.</param>
    /// <param name="batch">Rows.</param>
    /// <param name="kvHeads">Key/value heads of a layer.</param>
    /// <param name="headDim">The width of a head.</param>
    /// <param name="capacity">Columns: the padded prompt and every token to come.</param>
    /// <param name="dtype">The model's dtype.</param>
    /// <param name="device">The model's device.</param>
    new(layers: int, batch: int, kvHeads: int, headDim: int, capacity: int, dtype, device: torch.Device) =
        let buffer _ =
            torch
                .zeros([| int64 batch; int64 kvHeads; int64 capacity; int64 headDim |], dtype = dtype, device = device)
                .DetachFromDisposeScope()

        new KvCache(Array.init layers buffer, Array.init layers buffer, capacity)

    /// <summary>How many columns it has room for.</summary>
    member _.Capacity = capacity

    /// <summary>
    /// Writes the keys and values [batch, kv_heads, length, head_dim] of columns <paramref name="offset"/> … and gives
    /// views of all columns so far [batch, kv_heads, offset + length, head_dim].
    /// </summary>
    /// <exception cref="T:System.InvalidOperationException">The cache is full.</exception>
    member _.Append(layer: int, offset: int, key: Tensor, value: Tensor) : struct (Tensor * Tensor) =
        let length = key.shape[2]
        let filled = int64 offset + length

        if filled > int64 capacity then
            invalidOp $"the KV cache has room for {capacity} columns and was asked for {filled}"

        let write (buffer: Tensor) (update: Tensor) =
            use window = buffer.narrow (2L, int64 offset, length)
            window.copy_ update |> ignore
            buffer.narrow (2L, 0L, filled)

        struct (write keys[layer] key, write values[layer] value)

    interface IDisposable with
        member _.Dispose() =
            for buffer in Seq.append keys values do
                buffer.Dispose()
