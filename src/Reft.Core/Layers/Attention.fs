namespace Reft.Core

open TorchSharp

/// <summary>The heads of an attention layer.</summary>
[<Struct>]
type HeadShape =
    {
        /// Query heads.
        Heads: int
        /// Key/value heads: each serves <c>Heads / KvHeads</c> query heads (grouped-query attention).
        KvHeads: int
        /// The width of a head.
        HeadDim: int
    }

/// <summary>The maps that make queries, keys and values.</summary>
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type QueryKeyValue =
    /// One map each.
    | Separate of query: Linear * key: Linear * value: Linear
    /// One map whose rows are the queries', then the keys', then the values', as in GPT-2 and Phi-3.
    | Joined of Linear
    /// One map whose rows are, head by head, its query, key and value, as in GPT-NeoX; every head has its own.
    | Interleaved of Linear

/// <summary>The weights of an attention layer.</summary>
[<NoEquality; NoComparison>]
type AttentionWeights =
    {
        /// Hidden → queries, keys, values.
        QueryKeyValue: QueryKeyValue
        /// What is done to the queries before they turn, e.g. a norm. [batch, seq, heads × head_dim]
        QueryNorm: Tensor -> Tensor
        /// The same for the keys. [batch, seq, kv_heads × head_dim]
        KeyNorm: Tensor -> Tensor
        /// Attention-weighted values → hidden.
        Output: Linear
    }

/// <summary>What attention computes besides its weights.</summary>
[<NoComparison>]
type AttentionOptions =
    {
        /// Its heads.
        Shape: HeadShape
        /// What q·k is multiplied by; <c>None</c> is 1 / √head_dim.
        Scale: float option
        /// c of the scores' cap c tanh(s / c).
        Softcap: float option
        /// Which of the context's masks it reads.
        Mask: int
        /// Which of the context's rotary tables turns queries and keys; <c>None</c> for none.
        Rope: int option
    }

/// <summary>Scaled dot-product attention, softmax(Q Kᵀ / √d) V, causal.</summary>
[<RequireQualifiedAccess>]
module Attention =

    /// Each key/value head repeated for the query heads that share it. [batch, heads, columns, head_dim]
    let private repeatHeads (groups: int64) (x: Tensor) =
        if groups = 1L then
            x
        else
            let batch, kvHeads, columns, headDim =
                x.shape[0], x.shape[1], x.shape[2], x.shape[3]

            x
                .unsqueeze(2L)
                .expand(batch, kvHeads, groups, columns, headDim)
                .reshape(batch, kvHeads * groups, columns, headDim)

    let private causal (context: Context) (like: Tensor) =
        let length = int64 context.Length

        torch.full(length, length, held (-1e30f), dtype = like.dtype, device = like.device).triu(1L)

    let private plain (options: AttentionOptions) (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) =
        let batch, heads, length, headDim = q.shape[0], q.shape[1], q.shape[2], q.shape[3]
        let columns = k.shape[2]
        let flat (x: Tensor) = x.reshape (batch * heads, -1L, headDim)

        let scores =
            torch.bmm(flat q, (flat k).transpose(1L, 2L)).view(batch, heads, length, columns)
            *. (options.Scale
                |> Option.map float32
                |> Option.defaultValue (1.0f / sqrt (float32 headDim)))

        let scores =
            match options.Softcap with
            | Some cap -> (scores /. float32 cap).tanh() *. float32 cap
            | None -> scores

        let scores =
            match context.Masks[options.Mask] with
            | AttentionMask.Excluding mask -> scores .+ mask
            | AttentionMask.Causal when length > 1L -> scores .+ causal context scores
            | AttentionMask.Causal
            | AttentionMask.Everything -> scores

        let weights =
            scores.softmax(-1L, torch.float32).``to``(v.dtype).view(batch * heads, length, columns)

        torch.bmm(weights, flat v).view(batch, heads, length, headDim)

    /// Up to this many tokens the fused kernel's bf16 backward pass on a CPU takes twice as long as the fp32 one with the
    /// casts around it (benchmarks: 8 × 8 heads × 128 tokens × 64); at 512 tokens they are even.
    [<Literal>]
    let private LongestCast = 256

    /// The fused kernel multiplies by 1 / √head_dim itself.
    let private prescale (options: AttentionOptions) (q: Tensor) =
        match options.Scale with
        | Some scale when scale <> 1.0 / sqrt (float options.Shape.HeadDim) ->
            q *. float32 (scale * sqrt (float options.Shape.HeadDim))
        | _ -> q

    let private additive mask =
        match mask with
        | AttentionMask.Excluding mask -> Some mask
        | _ -> None

    let private fused (options: AttentionOptions) (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) =
        let mask = context.Masks[options.Mask]

        let attention (q: Tensor) (k: Tensor) (v: Tensor) (excluding: Tensor option) =
            torch.nn.functional.scaled_dot_product_attention (
                q,
                k,
                v,
                attn_mask = Option.toObj excluding,
                is_casual = (mask.IsCausal && context.Length > 1)
            )

        let q = prescale options q

        if
            q.dtype = torch.bfloat16
            && q.requires_grad
            && context.Length <= LongestCast
            && q.device.``type`` = DeviceType.CPU
        then
            let wide (x: Tensor) = x.``to`` torch.float32
            (attention (wide q) (wide k) (wide v) (additive mask |> Option.map wide)).``to`` q.dtype
        else
            attention q k v (additive mask)

    /// One decoded token sees every column: the query heads that share a key/value head are its queries, and no key is
    /// copied for them.
    let private decodeStep options (context: Context) groups (q: Tensor) (k: Tensor) (v: Tensor) =
        let batch, heads, headDim = q.shape[0], q.shape[1], q.shape[3]

        torch.nn.functional
            .scaled_dot_product_attention(
                (prescale options q).reshape(batch, heads / groups, groups, headDim),
                k,
                v,
                attn_mask = Option.toObj (additive context.Masks[options.Mask])
            )
            .reshape(batch, heads, 1L, headDim)

    /// <summary>Queries [batch, heads, seq, head_dim] over keys and values [batch, kv_heads, columns, head_dim].</summary>
    let attend (options: AttentionOptions) (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) : Tensor =
        let groups = q.shape[1] / k.shape[1]

        match context.Attention with
        // The fused kernel knows no cap.
        | AttentionKernel.Fused when options.Softcap.IsNone ->
            if context.Length = 1 && groups > 1L then
                decodeStep options context groups q k v
            else
                fused options context q (repeatHeads groups k) (repeatHeads groups v)
        | _ -> plain options context q (repeatHeads groups k) (repeatHeads groups v)

    /// The context's prefix before keys and values [batch, kv_heads, columns, head_dim].
    let private afterPrefix (context: Context) (layer: int) (k: Tensor) (v: Tensor) : struct (Tensor * Tensor) =
        if context.Prefix.Length = 0 then
            struct (k, v)
        else
            let struct (keys, values) = context.Prefix[layer]

            let join (prefix: Tensor) (x: Tensor) =
                Scope.run (fun () ->
                    torch.cat (ResizeArray [ prefix.unsqueeze(0L).expand(x.shape[0], -1L, -1L, -1L); x ], 2L))

            struct (join keys k, join values v)

    let private splitHeads (heads: int) (headDim: int) (x: Tensor) =
        x.view(x.shape[0], x.shape[1], int64 heads, int64 headDim).transpose(1L, 2L)

    /// Queries, keys and values, each when it is asked for. [batch, seq, heads × head_dim]
    let private project (shape: HeadShape) (weights: QueryKeyValue) (x: Tensor) =
        match weights with
        | QueryKeyValue.Separate(query, key, value) ->
            (fun () -> Linear.apply query x), (fun () -> Linear.apply key x), (fun () -> Linear.apply value x)
        | QueryKeyValue.Joined linear ->
            let joined = Linear.apply linear x

            let query, kv =
                int64 (shape.Heads * shape.HeadDim), int64 (shape.KvHeads * shape.HeadDim)

            (fun () -> joined.narrow (-1L, 0L, query)),
            (fun () -> joined.narrow (-1L, query, kv)),
            (fun () -> joined.narrow (-1L, query + kv, kv))
        | QueryKeyValue.Interleaved linear ->
            let heads =
                (Linear.apply linear x).view(x.shape[0], x.shape[1], int64 shape.Heads, 3L, int64 shape.HeadDim)

            let part (i: int64) () =
                heads.select(3L, i).reshape(x.shape[0], x.shape[1], -1L)

            part 0L, part 1L, part 2L

    /// <summary>Self-attention, tapped at query, key, value and attention value. [batch, seq, hidden]</summary>
    /// <param name="options">What it computes.</param>
    /// <param name="weights">Its weights.</param>
    /// <param name="layer">The block's number, which finds its place in the KV cache.</param>
    /// <param name="tap">Sees every component, and may change it.</param>
    /// <param name="context">The window being computed.</param>
    /// <param name="x">Its input.</param>
    let self
        (options: AttentionOptions)
        (weights: AttentionWeights)
        (layer: int)
        (tap: Component -> Tensor -> Tensor)
        (context: Context)
        (x: Tensor)
        : Tensor =
        let shape = options.Shape

        let rotate =
            match options.Rope with
            | Some rope -> Rotary.apply context.Rotary[rope]
            | None -> id

        let query, key, value = project shape weights.QueryKeyValue x

        let heads place number compute finish =
            Scope.run (fun () -> compute () |> tap place |> finish |> splitHeads number shape.HeadDim)

        let turned place number compute norm =
            Scope.run (fun () -> heads place number compute norm |> rotate)

        let q = turned Component.Query shape.Heads query weights.QueryNorm
        let k = turned Component.Key shape.KvHeads key weights.KeyNorm
        let v = heads Component.Value shape.KvHeads value id

        let struct (k, v) =
            match context.Cache with
            | Some cache -> cache.Append(layer, context.Offset, k, v)
            | None -> struct (k, v)

        let struct (k, v) = afterPrefix context layer k v

        (attend options context q k v) // [batch, heads, seq, head_dim]
            .transpose(1L, 2L)
            .reshape(x.shape[0], x.shape[1], int64 (shape.Heads * shape.HeadDim))
        |> tap Component.AttentionValue
        |> Linear.apply weights.Output
