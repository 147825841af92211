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

    /// <summary>
    /// A cache of the first <paramref name="filled"/> columns for more rows, each of this one's rows several times in
    /// succession; this one is not changed.
    /// </summary>
    /// <param name="times">How many rows each row becomes.</param>
    /// <param name="filled">The columns that are filled.</param>
    /// <param name="room">The new cache's columns.</param>
    member _.Repeat(times: int, filled: int, room: int) : KvCache =
        let repeat (buffer: Tensor) =
            use _ = torch.NewDisposeScope()
            let shape = buffer.shape

            let copy =
                torch.zeros (
                    [| shape[0] * int64 times; shape[1]; int64 room; shape[3] |],
                    dtype = buffer.dtype,
                    device = buffer.device
                )

            copy
                .narrow(2L, 0L, int64 filled)
                .copy_(buffer.narrow(2L, 0L, int64 filled).repeat_interleave(int64 times, 0L))
            |> ignore

            copy.DetachFromDisposeScope()

        new KvCache(Array.map repeat keys, Array.map repeat values, room)

    /// <summary>
    /// Puts in each row what another row holds in columns <paramref name="first"/> … <paramref name="filled"/> − 1, as a
    /// beam search does whose beams take each other's places.
    /// </summary>
    /// <param name="rows">For each row the row that it takes the place of. [batch]</param>
    /// <param name="first">The first column in which rows differ.</param>
    /// <param name="filled">The columns that are filled.</param>
    member _.Reorder(rows: Tensor, first: int, filled: int) : unit =
        if filled > first then
            for buffer in Seq.append keys values do
                use _ = torch.NewDisposeScope()
                let window = buffer.narrow (2L, int64 first, int64 (filled - first))
                window.copy_ (window.index_select (0L, rows)) |> ignore

    interface IDisposable with
        member _.Dispose() =
            for buffer in Seq.append keys values do
                buffer.Dispose()
