namespace Reft.Core

open TorchSharp

/// <summary>The matrix of a linear map, as it is kept.</summary>
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type LinearWeight =
    /// W [out, in], in the model's dtype.
    | Dense of Tensor
    /// Wᵀ [in, out], as GPT-2's files hold it.
    | Transposed of Tensor
    /// Whole numbers [out, in] int8 and what each row is multiplied by [out, 1], in the model's dtype; see <see cref="T:Reft.Core.Int8Module"/>.
    | Int8 of values: Tensor * scale: Tensor

/// <summary>
/// What a LoRA adapter adds to a linear map: scale · x Aᵀ Bᵀ (Hu et al., arXiv 2106.09685).
/// </summary>
[<NoEquality; NoComparison>]
type LowRankUpdate =
    {
        /// A [rank, in]
        Down: Tensor
        /// B [out, rank]
        Up: Tensor
        /// α / r
        Scale: float
        /// What x goes through before A, as dropout in training; <c>None</c> for nothing.
        Input: (Tensor -> Tensor) option
    }

/// <summary>The weights of y = (x Wᵀ + Σ scale · x Aᵀ Bᵀ) ⊙ m + b, where m is 1 unless it is given.</summary>
[<NoEquality; NoComparison>]
type Linear =
    {
        /// W
        Weight: LinearWeight
        /// b [out]
        Bias: Tensor option
        /// Low-rank maps beside W, e.g. of LoRA adapters; usually none.
        Updates: LowRankUpdate list
        /// m [out], of any dtype: what the columns of the product are multiplied by, as in DoRA; usually nothing.
        Rescale: Tensor option
    }

/// <summary>Affine maps.</summary>
[<RequireQualifiedAccess>]
module Linear =

    /// <summary>The map of a matrix [out, in] and a bias [out].</summary>
    let dense (bias: Tensor option) (weight: Tensor) : Linear =
        { Weight = LinearWeight.Dense weight
          Bias = bias
          Updates = []
          Rescale = None }

    /// <summary>The width of y.</summary>
    let outputs (linear: Linear) : int64 =
        match linear.Weight with
        | LinearWeight.Dense weight
        | LinearWeight.Int8(weight, _) -> weight.shape[0]
        | LinearWeight.Transposed weight -> weight.shape[1]

    /// <summary>The width of x.</summary>
    let inputs (linear: Linear) : int64 =
        match linear.Weight with
        | LinearWeight.Dense weight
        | LinearWeight.Int8(weight, _) -> weight.shape[1]
        | LinearWeight.Transposed weight -> weight.shape[0]

    let private product (linear: Linear) (bias: Tensor option) (x: Tensor) =
        match linear.Weight with
        | LinearWeight.Dense weight -> torch.nn.functional.linear (x, weight, Option.toObj bias)
        | LinearWeight.Transposed weight ->
            Scope.run (fun () -> torch.nn.functional.linear (x, weight.t (), Option.toObj bias))
        | LinearWeight.Int8(values, scale) ->
            match bias with
            | Some bias -> Scope.run (fun () -> Int8.product values scale x .+ bias)
            | None -> Int8.product values scale x

    /// [n, in], y [n, out] → [n, out]; y, which nothing else reads, may be changed.
    let private update (x: Tensor) (y: Tensor) (low: LowRankUpdate) =
        let x =
            match low.Input with
            | Some change -> change x
            | None -> x

        let inner = torch.nn.functional.linear (x.``to`` low.Down.dtype, low.Down, null) // [n, rank]

        if low.Up.dtype = y.dtype then
            // In place, the scale within the product: no other pass over y, which no derivative reads.
            y.addmm_ (inner, low.Up.t (), 1.0f, float32 low.Scale)
        else
            y
            .+ torch.nn.functional.linear(inner *. float32 low.Scale, low.Up, null).``to`` y.dtype

    let private extended (linear: Linear) (x: Tensor) =
        Scope.run (fun () ->
            let shape = x.shape
            let flat = x.reshape (-1L, shape[shape.Length - 1])

            let products =
                linear.Updates
                |> List.fold (update flat) (product linear (if linear.Rescale.IsSome then None else linear.Bias) flat)

            let y =
                match linear.Rescale, linear.Bias with
                | None, _ -> products
                | Some factor, None -> (products * factor).``to`` x.dtype
                | Some factor, Some bias -> (products * factor .+ bias).``to`` x.dtype

            y.view [| yield! shape[.. shape.Length - 2]; outputs linear |])

    /// <summary>(x Wᵀ and its low-rank updates) ⊙ m + b. [..., in] → [..., out]</summary>
    let apply (linear: Linear) (x: Tensor) : Tensor =
        if linear.Updates.IsEmpty && linear.Rescale.IsNone then
            product linear linear.Bias x
        else
            extended linear x
