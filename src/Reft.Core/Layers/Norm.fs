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
        Scope.run (fun () ->
            let wide = x.``to`` torch.float32
            let width = float32 x.shape[x.shape.Length - 1]
            // A norm is one pass over x and makes no temporary of its size, as squaring would.
            let squares = torch.linalg.vector_norm(wide, 2.0, [| -1L |], true).square()
            let scale = (squares / width + float32 epsilon).rsqrt()
            (wide * scale).``to``(x.dtype) * weight)
