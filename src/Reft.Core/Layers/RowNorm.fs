namespace Reft.Core

open System
open TorchSharp

/// <summary>The norms of a linear map's rows, by which DoRA tells a row's direction from its magnitude.</summary>
[<RequireQualifiedAccess>]
module RowNorm =

    /// <summary>‖w‖² of each row of the matrix, without its updates, fp32. [out]</summary>
    let squares (linear: Linear) : Tensor =
        Scope.run (fun () ->
            match linear.Weight with
            | LinearWeight.Dense weight -> (weight.``to`` torch.float32 |> squared).sum(1L)
            | LinearWeight.Transposed weight -> (weight.``to`` torch.float32 |> squared).sum(0L)
            | LinearWeight.Int8(values, scale) -> (Int8.dequantise torch.float32 values scale |> squared).sum(1L))

    let private dtypeOf (linear: Linear) =
        match linear.Weight with
        | LinearWeight.Dense weight
        | LinearWeight.Transposed weight -> weight.dtype
        | LinearWeight.Int8(_, factor) -> factor.dtype

    /// <summary>
    /// ‖w + s (B A)‖ of each row, fp32, without a gradient: √(‖w‖² + 2 s w·(B A) + s² ‖B A‖²), one product of the matrix with
    /// A's rows, so that nothing of the matrix's size is made. [out]
    /// </summary>
    /// <param name="squares">‖w‖² of each row.</param>
    /// <param name="update">A, B and s.</param>
    /// <param name="linear">The map; its own updates are not read.</param>
    let updated (squares: Tensor) (update: LowRankUpdate) (linear: Linear) : Tensor =
        use _ = torch.no_grad ()

        Scope.run (fun () ->
            let down, up = update.Down.``to`` torch.float32, update.Up.``to`` torch.float32
            let s = float32 update.Scale

            let plain =
                { linear with
                    Bias = None
                    Updates = []
                    Rescale = None }

            let crossed =
                (down.``to`` (dtypeOf linear) |> Linear.apply plain).``to``(torch.float32).t() // W Aᵀ [out, r]

            let gram = torch.mm (down, down.t ()) // A Aᵀ [r, r]

            (squares
             .+ (up * crossed).sum(1L) *. (2.0f * s)
             .+ (torch.mm (up, gram) * up).sum(1L) *. (s * s))
                // A row that is all zero has no direction.
                .clamp_min(held Single.Epsilon)
                .sqrt())
