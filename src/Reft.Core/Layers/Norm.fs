namespace Reft.Core

open TorchSharp

/// <summary>Normalisation over the last dimension.</summary>
[<RequireQualifiedAccess>]
module Norm =

    /// x / √(mean x² + ε), in fp32.
    let private unit (epsilon: float) (x: Tensor) =
        let wide = x.``to`` torch.float32
        let width = float32 x.shape[x.shape.Length - 1]
        // A norm is one pass over x and makes no temporary of its size, as squaring would.
        let squares = wide |> normAlong -1 |> squared
        let scale = (squares /. width +. float32 epsilon).rsqrt()
        wide * scale

    /// <summary>
    /// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): x / √(mean x² + ε) ⊙ w, in fp32, rounded before the weight as
    /// transformers does. [..., hidden] → [..., hidden]
    /// </summary>
    let rms (epsilon: float) (weight: Tensor) (x: Tensor) : Tensor =
        Scope.run (fun () -> (unit epsilon x).``to``(x.dtype) * weight)

    /// <summary>
    /// Gemma's RMSNorm: x / √(mean x² + ε) ⊙ (1 + w), rounded once, after the weight. [..., hidden] → [..., hidden]
    /// </summary>
    let rmsOnePlus (epsilon: float) (weight: Tensor) (x: Tensor) : Tensor =
        Scope.run (fun () -> (unit epsilon x * (weight.``to`` torch.float32 +. 1.0f)).``to`` x.dtype)

    /// <summary>
    /// LayerNorm (Ba et al., arXiv 1607.06450): (x − mean x) / √(var x + ε) ⊙ w + b. [..., hidden] → [..., hidden]
    /// </summary>
    let layer (epsilon: float) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        torch.nn.functional.layer_norm (x, weight.shape, weight, bias, epsilon)
