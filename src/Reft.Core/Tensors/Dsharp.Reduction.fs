namespace Reft.Core

open TorchSharp

/// <summary>
/// Reductions: over all elements, or over one dimension (negative counts from the end), which <c>keepDim</c> leaves in
/// place with size one.
/// </summary>
[<AutoOpen>]
module DsharpReduction =

    let private along (dim: int) = [| int64 dim |]

    // TorchSharp 0.107's var(unbiased) without a dimension ignores its argument.
    let private varianceOverAll (unbiased: bool) (x: Tensor) : Tensor =
        Scope.run (fun () -> (x.flatten ()).var(0L, unbiased))

    let private keeping (keepDim: bool option) = defaultArg keepDim false

    type dsharp with

        /// <summary>The sum.</summary>
        static member sum(x: Tensor) : Tensor = x.sum ()

        /// <summary>The sum.</summary>
        static member sum(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.sum (int64 dim, keeping keepDim)

        /// <summary>The sum.</summary>
        static member sum(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.sum (x, dim, ?keepDim = keepDim)

        /// <summary>The mean.</summary>
        static member mean(x: Tensor) : Tensor = x.mean ()

        /// <summary>The mean.</summary>
        static member mean(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.mean (along dim, keeping keepDim)

        /// <summary>The mean.</summary>
        static member mean(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.mean (x, dim, ?keepDim = keepDim)

        /// <summary>The variance, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member variance(x: Tensor, ?unbiased: bool) : Tensor =
            varianceOverAll (defaultArg unbiased true) x

        /// <summary>The variance, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member variance(x: Tensor, dim: int, ?keepDim: bool, ?unbiased: bool) : Tensor =
            x.var (int64 dim, defaultArg unbiased true, keeping keepDim)

        /// <summary>The variance, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member variance(dim: int, ?keepDim: bool, ?unbiased: bool) : Tensor -> Tensor =
            fun x -> dsharp.variance (x, dim, ?keepDim = keepDim, ?unbiased = unbiased)

        /// <summary>The standard deviation, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member stddev(x: Tensor, ?unbiased: bool) : Tensor = x.std (defaultArg unbiased true)

        /// <summary>The standard deviation, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member stddev(x: Tensor, dim: int, ?keepDim: bool, ?unbiased: bool) : Tensor =
            x.std (int64 dim, defaultArg unbiased true, keeping keepDim)

        /// <summary>The standard deviation, over n − 1 unless <c>unbiased = false</c>.</summary>
        static member stddev(dim: int, ?keepDim: bool, ?unbiased: bool) : Tensor -> Tensor =
            fun x -> dsharp.stddev (x, dim, ?keepDim = keepDim, ?unbiased = unbiased)

        /// <summary>The largest element.</summary>
        static member max(x: Tensor) : Tensor = x.max ()

        /// <summary>The largest element.</summary>
        static member max(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.amax (along dim, keeping keepDim)

        /// <summary>The largest element.</summary>
        static member max(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.max (x, dim, ?keepDim = keepDim)

        /// <summary>The larger of a and b, element by element.</summary>
        static member max(a: Tensor, b: Tensor) : Tensor = torch.maximum (a, b)

        /// <summary>The smallest element.</summary>
        static member min(x: Tensor) : Tensor = x.min ()

        /// <summary>The smallest element.</summary>
        static member min(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.amin (along dim, keeping keepDim)

        /// <summary>The smallest element.</summary>
        static member min(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.min (x, dim, ?keepDim = keepDim)

        /// <summary>The smaller of a and b, element by element.</summary>
        static member min(a: Tensor, b: Tensor) : Tensor = torch.minimum (a, b)

        /// <summary>The index of the largest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmax(x: Tensor) : Tensor = x.argmax ()

        /// <summary>The index of the largest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmax(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.argmax (int64 dim, keeping keepDim)

        /// <summary>The index of the largest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmax(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.argmax (x, dim, ?keepDim = keepDim)

        /// <summary>The index of the smallest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmin(x: Tensor) : Tensor = x.argmin ()

        /// <summary>The index of the smallest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmin(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.argmin (int64 dim, keeping keepDim)

        /// <summary>The index of the smallest element (of the flattened tensor, without a dimension). int64</summary>
        static member argmin(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.argmin (x, dim, ?keepDim = keepDim)

        /// <summary>The vector norm of an order, 2 by default: (Σ|x|ᵖ)^(1/p).</summary>
        static member norm(x: Tensor, ?order: float) : Tensor = x.norm (float32 (defaultArg order 2.0))

        /// <summary>The vector norm of an order, 2 by default: (Σ|x|ᵖ)^(1/p).</summary>
        static member norm(x: Tensor, dim: int, ?keepDim: bool, ?order: float) : Tensor =
            x.norm (dim, keeping keepDim, float32 (defaultArg order 2.0))

        /// <summary>The vector norm of an order, 2 by default: (Σ|x|ᵖ)^(1/p).</summary>
        static member norm(dim: int, ?keepDim: bool, ?order: float) : Tensor -> Tensor =
            fun x -> dsharp.norm (x, dim, ?keepDim = keepDim, ?order = order)

        /// <summary>The product.</summary>
        static member prod(x: Tensor) : Tensor = x.prod ()

        /// <summary>The product.</summary>
        static member prod(x: Tensor, dim: int, ?keepDim: bool) : Tensor = x.prod (int64 dim, keeping keepDim)

        /// <summary>The product.</summary>
        static member prod(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.prod (x, dim, ?keepDim = keepDim)

        /// <summary>log Σ eˣ along a dimension, without overflow.</summary>
        static member logsumexp(x: Tensor, dim: int, ?keepDim: bool) : Tensor =
            x.logsumexp (int64 dim, keeping keepDim)

        /// <summary>log Σ eˣ along a dimension, without overflow.</summary>
        static member logsumexp(dim: int, ?keepDim: bool) : Tensor -> Tensor =
            fun x -> dsharp.logsumexp (x, dim, ?keepDim = keepDim)

        /// <summary>Running sums along a dimension.</summary>
        static member cumsum(x: Tensor, dim: int) : Tensor = x.cumsum (int64 dim)

        /// <summary>Running sums along a dimension.</summary>
        static member cumsum(dim: int) : Tensor -> Tensor = fun x -> dsharp.cumsum (x, dim)

        /// <summary>eˣ / Σ eˣ along a dimension.</summary>
        static member softmax(x: Tensor, dim: int) : Tensor = x.softmax (int64 dim)

        /// <summary>eˣ / Σ eˣ along a dimension.</summary>
        static member softmax(dim: int) : Tensor -> Tensor = fun x -> dsharp.softmax (x, dim)

        /// <summary>x − log Σ eˣ along a dimension.</summary>
        static member logsoftmax(x: Tensor, dim: int) : Tensor = x.log_softmax (int64 dim)

        /// <summary>x − log Σ eˣ along a dimension.</summary>
        static member logsoftmax(dim: int) : Tensor -> Tensor = fun x -> dsharp.logsoftmax (x, dim)

        /// <summary>The sum of a matrix's diagonal.</summary>
        static member trace(x: Tensor) : Tensor = x.trace ()
