namespace Reft.Core

open TorchSharp

/// <summary>Sees every component of a block as it is computed, and may change it; the identity where nothing is placed.</summary>
type Tap = Component -> Tensor -> Tensor

/// <summary>One block of a transformer: a pure function of its taps, its context and the residual stream [batch, seq, hidden].</summary>
type Block = Tap -> Context -> Tensor -> Tensor

/// <summary>
/// A transformer as a composition of pure functions. Attaching interventions gives another value of the same type, so
/// that attachments stack.
/// </summary>
[<NoEquality; NoComparison>]
type Transformer =
    {
        /// Its shape.
        Config: ModelConfig
        /// The dtype of its weights and hidden states.
        Dtype: torch.ScalarType
        /// Where it computes.
        Device: torch.Device
        /// Fills in what all blocks read, e.g. rotary tables.
        Prepare: Context -> Context
        /// Token ids [batch, seq] → residual stream [batch, seq, hidden].
        Embed: Tensor -> Tensor
        /// Bottom up.
        Blocks: Block[]
        /// The final norm. [..., hidden]
        Norm: Tensor -> Tensor
        /// The language-model head, hidden → logits.
        Head: Linear
        /// One per block.
        Taps: Tap[]
    }

/// <summary>Running transformers.</summary>
[<RequireQualifiedAccess>]
module Transformer =

    /// <summary>The tap that changes nothing.</summary>
    let identityTap: Tap = fun _ h -> h

    /// <summary>The context of a window for this model; see <see cref="M:Reft.Core.ContextModule.create"/>.</summary>
    let context (cache: KvCache option) (offset: int) (length: int) (spans: RowSpan[]) (model: Transformer) : Context =
        Context.create model.Dtype model.Device cache offset length spans
        |> model.Prepare

    /// <summary>The residual stream after the last block, before the final norm. [batch, seq] → [batch, seq, hidden]</summary>
    let residual (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        Array.fold2 (fun h (block: Block) tap -> block tap context h) (model.Embed ids) model.Blocks model.Taps

    /// <summary>The hidden states that the head reads: after the final norm. [batch, seq] → [batch, seq, hidden]</summary>
    let hidden (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        model |> residual context ids |> model.Norm

    /// <summary>The logits of every position, fp32. [batch, seq] → [batch, seq, vocabulary]</summary>
    let logits (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        (model |> hidden context ids |> Linear.apply model.Head).``to`` torch.float32

    /// <summary>A KV cache for this model.</summary>
    let cache (batch: int) (capacity: int) (model: Transformer) : KvCache =
        let heads = model.Config.Heads
        new KvCache(model.Blocks.Length, batch, heads.KvHeads, heads.HeadDim, capacity, model.Dtype, model.Device)
