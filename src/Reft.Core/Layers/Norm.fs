namespace Reft.Core

open TorchSharp

/// <summary>Normalisation over the last dimension.</summary>
[<RequireQualifiedAccess>]
module Norm =

    /// <summary>
    /// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): x / √(mean x² + ε) ⊙ w, in fp32, rounded before the weight as
    /// transformers does. [..., hidden] → [..., hidden]
    /// </summary>
    let rms (epsilon: float) (weight: Tensor) (x: Tensor) : Tensor =
        let wide = x.``to`` torch.float32
        let variance = wide.square().mean([| -1L |], true)
        (wide * (variance + epsilon).rsqrt ()).``to``(x.dtype) * weight
