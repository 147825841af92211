namespace Reft.Core

open TorchSharp

/// <summary>The weights of y = x Wᵀ + b.</summary>
[<NoEquality; NoComparison>]
type Linear =
    {
        /// [out, in]
        Weight: Tensor
        /// [out]
        Bias: Tensor option
    }

/// <summary>Affine maps.</summary>
[<RequireQualifiedAccess>]
module Linear =

    /// <summary>x Wᵀ + b. [..., in] → [..., out]</summary>
    let apply (weights: Linear) (x: Tensor) : Tensor =
        torch.nn.functional.linear (x, weights.Weight, Option.toObj weights.Bias)
