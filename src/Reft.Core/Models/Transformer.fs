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
        /// Fills in what all blocks read: masks and rotary tables.
        Prepare: Context -> Context
        /// Token ids [batch, seq] → residual stream [batch, seq, hidden].
        Embed: Context -> Tensor -> Tensor
        /// Bottom up.
        Blocks: Block[]
        /// The final norm. [..., hidden]
        Norm: Tensor -> Tensor
        /// The language-model head, hidden → logits; <c>None</c> where the checkpoint has none.
        LanguageHead: LanguageHead option
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
        Context.create model.Device cache offset length spans |> model.Prepare

    /// <summary>The residual stream after the last block, before the final norm. [batch, seq] → [batch, seq, hidden]</summary>
    let residual (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        Array.fold2 (fun h (block: Block) tap -> block tap context h) (model.Embed context ids) model.Blocks model.Taps

    /// <summary>The hidden states that the head reads: after the final norm. [batch, seq] → [batch, seq, hidden]</summary>
    let hidden (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        model |> residual context ids |> model.Norm

    /// <summary>The language-model head.</summary>
    /// <exception cref="T:System.InvalidOperationException">The checkpoint has none, e.g. because it is a classifier.</exception>
    let languageHead (model: Transformer) : LanguageHead =
        match model.LanguageHead with
        | Some head -> head
        | None ->
            invalidOp
                $"this {model.Config.Family} checkpoint has no language-model head, so it gives no logits of tokens: expected a checkpoint for causal or masked language modelling"

    /// <summary>The head of a causal language model, whose logits are of the next token.</summary>
    /// <exception cref="T:System.InvalidOperationException">The checkpoint has none, or the model is an encoder.</exception>
    let causalHead (model: Transformer) : LanguageHead =
        if model.Config.Causal then
            languageHead model
        else
            invalidOp
                $"{model.Config.Family} is an encoder: its tokens see what follows them, so it predicts no next token and has no next-token loss. Train it for sequence classification or regression, or use a decoder"

    /// <summary>The logits of every position, fp32. [batch, seq] → [batch, seq, vocabulary]</summary>
    let logits (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        model |> hidden context ids |> LanguageHead.logits (languageHead model)

    /// <summary>A KV cache for this model.</summary>
    let cache (batch: int) (capacity: int) (model: Transformer) : KvCache =
        let heads = model.Config.Heads
        new KvCache(model.Blocks.Length, batch, heads.KvHeads, heads.HeadDim, capacity, model.Dtype, model.Device)
