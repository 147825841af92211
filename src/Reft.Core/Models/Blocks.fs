namespace Reft.Core

/// <summary>The norms around the two halves of a block; the identity where a family has none.</summary>
[<NoEquality; NoComparison>]
type BlockNorms =
    { BeforeAttention: Tensor -> Tensor
      AfterAttention: Tensor -> Tensor
      BeforeMlp: Tensor -> Tensor
      AfterMlp: Tensor -> Tensor }

/// <summary>
/// The ways in which families put attention and MLP together. Every component is tapped where Hugging Face's modules begin
/// and end: an output is seen before a norm that follows it.
/// </summary>
[<RequireQualifiedAccess>]
module Blocks =

    let private attend (norm: Tensor -> Tensor) attention (tap: Tap) (context: Context) (h: Tensor) : Tensor =
        h
        |> norm
        |> tap Component.AttentionInput
        |> attention tap context
        |> tap Component.AttentionOutput

    let private transform (norm: Tensor -> Tensor) mlp (tap: Tap) (h: Tensor) : Tensor =
        h |> norm |> tap Component.MlpInput |> mlp tap |> tap Component.MlpOutput

    /// <summary>h + attention, then + MLP: Llama's pre-norm block, Gemma 2's with norms on both sides, OLMo 2's with norms behind.</summary>
    let sequential
        (norms: BlockNorms)
        (attention: Tap -> Context -> Tensor -> Tensor)
        (mlp: Tap -> Tensor -> Tensor)
        : Block =
        fun tap context h ->
            Scope.run (fun () ->
                let h = h |> tap Component.BlockInput
                let a = h |> attend norms.BeforeAttention attention tap context
                let h = h .+ norms.AfterAttention a
                let m = h |> transform norms.BeforeMlp mlp tap
                h .+ norms.AfterMlp m |> tap Component.BlockOutput)

    /// <summary>h + attention + MLP of the same h, as in GPT-NeoX.</summary>
    let parallelResidual
        (attentionNorm: Tensor -> Tensor)
        (mlpNorm: Tensor -> Tensor)
        (attention: Tap -> Context -> Tensor -> Tensor)
        (mlp: Tap -> Tensor -> Tensor)
        : Block =
        fun tap context h ->
            Scope.run (fun () ->
                let h = h |> tap Component.BlockInput
                let a = h |> attend attentionNorm attention tap context
                let m = h |> transform mlpNorm mlp tap
                h .+ a .+ m |> tap Component.BlockOutput)

    /// <summary>norm(h + attention), then norm(h + MLP), as in BERT.</summary>
    let postNorm
        (attentionNorm: Tensor -> Tensor)
        (mlpNorm: Tensor -> Tensor)
        (attention: Tap -> Context -> Tensor -> Tensor)
        (mlp: Tap -> Tensor -> Tensor)
        : Block =
        fun tap context h ->
            Scope.run (fun () ->
                let h = h |> tap Component.BlockInput
                let a = h |> attend id attention tap context
                let h = h .+ a |> attentionNorm
                let m = h |> transform id mlp tap
                h .+ m |> mlpNorm |> tap Component.BlockOutput)
