namespace Reft.Core

open TorchSharp

/// <summary>The constants of AdamW.</summary>
type AdamWOptions =
    {
        /// Decay of the first moment.
        Beta1: float
        /// Decay of the second moment.
        Beta2: float
        /// Added to √v.
        Epsilon: float
        /// Decoupled weight decay; acts only on parameters whose role is decayed.
        WeightDecay: float
    }

/// <summary>The optimizer's memory of past gradients, one number of each per trainable number.</summary>
[<NoEquality; NoComparison>]
type Moments = { First: Tensor; Second: Tensor }

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), on one flat vector.</summary>
[<RequireQualifiedAccess>]
module AdamW =

    /// <summary>PyTorch's and transformers' constants, without weight decay.</summary>
    let defaults: AdamWOptions =
        { Beta1 = 0.9
          Beta2 = 0.999
          Epsilon = 1e-8
          WeightDecay = 0.0 }

    /// <summary>Moments before the first step.</summary>
    let zero (theta: Tensor) : Moments =
        { First = torch.zeros_like theta
          Second = torch.zeros_like theta }

    /// <summary>
    /// The gradient scaled to a norm of at most <paramref name="limit"/>, and the norm before
    /// (<c>torch.nn.utils.clip_grad_norm_</c>).
    /// </summary>
    let clip (limit: float option) (gradient: Tensor) : struct (Tensor * float) =
        let norm = gradient.norm().item<float32>() |> float

        match limit with
        | Some limit ->
            let factor = limit / (norm + 1e-6)

            struct ((if factor < 1.0 then
                         gradient *. float32 factor
                     else
                         gradient),
                    norm)
        | None -> struct (gradient, norm)

    /// <summary>One step: the parameters and moments after it, as new tensors.</summary>
    /// <param name="options">Its constants.</param>
    /// <param name="decayMask">1 where weight decay acts and 0 elsewhere; <c>None</c> where it acts nowhere.</param>
    /// <param name="rate">The learning rate of this step.</param>
    /// <param name="step">The number of this step, from 1.</param>
    /// <param name="gradient">∂loss/∂θ.</param>
    /// <param name="moments">The moments before.</param>
    /// <param name="theta">The parameters before.</param>
    let step
        (options: AdamWOptions)
        (decayMask: Tensor option)
        (rate: float)
        (step: int)
        (gradient: Tensor)
        (moments: Moments)
        (theta: Tensor)
        : struct (Tensor * Moments) =
        let number (x: float) = held (float32 x)
        let b1, b2 = options.Beta1, options.Beta2

        let first = moments.First.mul(number b1).add_(gradient, number (1.0 - b1))

        let second =
            moments.Second.mul(number b2).addcmul_(gradient, gradient, number (1.0 - b2))

        let correction1 = 1.0 - b1 ** float step
        let correction2 = 1.0 - b2 ** float step

        let denominator =
            second.sqrt().div_(number (sqrt correction2)).add_(number options.Epsilon, held 1)

        let shrunk =
            match decayMask with
            | Some mask when options.WeightDecay <> 0.0 -> theta - theta * mask *. float32 (rate * options.WeightDecay)
            | _ -> theta.clone ()

        struct (shrunk.addcdiv_ (first, denominator, number (-rate / correction1)), { First = first; Second = second })
