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

/// <summary>The weights of an attention layer.</summary>
[<NoEquality; NoComparison>]
type AttentionWeights =
    { Query: Linear
      Key: Linear
      Value: Linear
      Output: Linear }

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

        torch.full(length, length, (-1e30f).ToScalar(), dtype = like.dtype, device = like.device).triu(1L)

    let private plain (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) =
        let batch, heads, length, headDim = q.shape[0], q.shape[1], q.shape[2], q.shape[3]
        let columns = k.shape[2]
        let flat (x: Tensor) = x.reshape (batch * heads, -1L, headDim)

        let scores =
            torch.bmm(flat q, (flat k).transpose(1L, 2L)).view(batch, heads, length, columns)
            / sqrt (float32 headDim)

        let scores =
            match context.Mask with
            | Some mask -> scores + mask
            | None when length > 1L -> scores + causal context scores
            | None -> scores

        let weights = scores.softmax(-1L).view(batch * heads, length, columns)
        torch.bmm(weights, flat v).view(batch, heads, length, headDim)

    /// Up to this many tokens the fused kernel's bf16 backward pass on a CPU takes twice as long as the fp32 one with the
    /// casts around it (benchmarks: 8 × 8 heads × 128 tokens × 64); at 512 tokens they are even.
    [<Literal>]
    let private LongestCast = 256

    let private fused (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) =
        let attention (q: Tensor) (k: Tensor) (v: Tensor) (mask: Tensor option) =
            torch.nn.functional.scaled_dot_product_attention (
                q,
                k,
                v,
                attn_mask = Option.toObj mask,
                is_casual = (context.Mask.IsNone && context.Length > 1)
            )

        if
            q.dtype = torch.bfloat16
            && q.requires_grad
            && context.Length <= LongestCast
            && q.device.``type`` = DeviceType.CPU
        then
            let wide (x: Tensor) = x.``to`` torch.float32
            (attention (wide q) (wide k) (wide v) (context.Mask |> Option.map wide)).``to`` q.dtype
        else
            attention q k v context.Mask

    /// One decoded token sees every column: the query heads that share a key/value head are its queries, and no key is
    /// copied for them.
    let private decodeStep (context: Context) groups (q: Tensor) (k: Tensor) (v: Tensor) =
        let batch, heads, headDim = q.shape[0], q.shape[1], q.shape[3]

        torch.nn.functional
            .scaled_dot_product_attention(
                q.reshape (batch, heads / groups, groups, headDim),
                k,
                v,
                attn_mask = Option.toObj context.Mask
            )
            .reshape(batch, heads, 1L, headDim)

    /// <summary>Queries [batch, heads, seq, head_dim] over keys and values [batch, kv_heads, columns, head_dim].</summary>
    let attend (context: Context) (q: Tensor) (k: Tensor) (v: Tensor) : Tensor =
        let groups = q.shape[1] / k.shape[1]

        match context.Attention with
        | AttentionKernel.Plain -> plain context q (repeatHeads groups k) (repeatHeads groups v)
        | AttentionKernel.Fused when context.Length = 1 && groups > 1L -> decodeStep context groups q k v
        | AttentionKernel.Fused -> fused context q (repeatHeads groups k) (repeatHeads groups v)

    let private splitHeads (heads: int) (headDim: int) (x: Tensor) =
        x.view(x.shape[0], x.shape[1], int64 heads, int64 headDim).transpose(1L, 2L)

    /// <summary>Self-attention of a rotary decoder, tapped at query, key, value and attention value. [batch, seq, hidden]</summary>
    /// <param name="shape">Its heads.</param>
    /// <param name="weights">Its weights.</param>
    /// <param name="layer">The block's number, which finds its place in the KV cache.</param>
    /// <param name="rope">Which of the context's rotary tables it reads.</param>
    /// <param name="tap">Sees every component, and may change it.</param>
    /// <param name="context">The window being computed.</param>
    /// <param name="x">The normed input.</param>
    let rotary
        (shape: HeadShape)
        (weights: AttentionWeights)
        (layer: int)
        (rope: int)
        (tap: Component -> Tensor -> Tensor)
        (context: Context)
        (x: Tensor)
        : Tensor =
        let rotate = Rotary.apply context.Rotary[rope]

        let project place linear heads turn =
            Scope.run (fun () -> x |> Linear.apply linear |> tap place |> splitHeads heads shape.HeadDim |> turn)

        let q = project Component.Query weights.Query shape.Heads rotate
        let k = project Component.Key weights.Key shape.KvHeads rotate
        let v = project Component.Value weights.Value shape.KvHeads id

        let struct (k, v) =
            match context.Cache with
            | Some cache -> cache.Append(layer, context.Offset, k, v)
            | None -> struct (k, v)

        (attend context q k v) // [batch, heads, seq, head_dim]
            .transpose(1L, 2L)
            .reshape(x.shape[0], x.shape[1], int64 (shape.Heads * shape.HeadDim))
        |> tap Component.AttentionValue
        |> Linear.apply weights.Output
