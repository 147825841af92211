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
    }

/// <summary>The weights of y = x Wᵀ + b + Σ scale · x Aᵀ Bᵀ.</summary>
[<NoEquality; NoComparison>]
type Linear =
    {
        /// W
        Weight: LinearWeight
        /// b [out]
        Bias: Tensor option
        /// Low-rank maps beside W, e.g. of LoRA adapters; usually none.
        Updates: LowRankUpdate list
    }

/// <summary>Affine maps.</summary>
[<RequireQualifiedAccess>]
module Linear =

    /// <summary>The map of a matrix [out, in] and a bias [out].</summary>
    let dense (bias: Tensor option) (weight: Tensor) : Linear =
        { Weight = LinearWeight.Dense weight
          Bias = bias
          Updates = [] }

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

    let private update (x: Tensor) (y: Tensor) (low: LowRankUpdate) =
        let inner = torch.nn.functional.linear (x.``to`` low.Down.dtype, low.Down, null) // [..., rank]

        y
        + (torch.nn.functional.linear (inner, low.Up, null) * float32 low.Scale).``to`` y.dtype

    /// <summary>x Wᵀ + b and its low-rank updates. [..., in] → [..., out]</summary>
    let apply (linear: Linear) (x: Tensor) : Tensor =
        let bias = Option.toObj linear.Bias

        let main () =
            match linear.Weight with
            | LinearWeight.Dense weight -> torch.nn.functional.linear (x, weight, bias)
            | LinearWeight.Transposed weight -> Scope.run (fun () -> torch.nn.functional.linear (x, weight.t (), bias))
            | LinearWeight.Int8(values, scale) ->
                match linear.Bias with
                | Some bias -> Scope.run (fun () -> Int8.product values scale x + bias)
                | None -> Int8.product values scale x

        if linear.Updates.IsEmpty then
            main ()
        else
            Scope.run (fun () -> linear.Updates |> List.fold (update x) (main ()))
