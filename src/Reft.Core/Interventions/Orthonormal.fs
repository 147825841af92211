namespace Reft.Core

open TorchSharp

/// <summary>
/// A pure map from a free matrix [d, r] to one with orthonormal columns, differentiable. Files and optimizers hold the
/// free matrix; interventions see its image.
/// </summary>
[<NoEquality; NoComparison>]
type OrthonormalMap =
    {
        /// Its name in files.
        Name: string
        /// Free parameters and constants of a width d and a rank r, whose image is uniformly random.
        Init: int -> int -> Rng -> Parameters
        /// Parameters → the matrix [d, r] with orthonormal columns, fp32.
        Apply: Parameters -> Tensor
    }

/// <summary>The orthonormal maps.</summary>
[<RequireQualifiedAccess>]
module Orthonormal =

    /// The name of the free matrix among the parameters of a map.
    [<Literal>]
    let private Free = "rotation"

    /// The name of the constant d×d matrix of torch's map.
    [<Literal>]
    let private Base = "base"

    let private signs (r: Tensor) =
        // sign(0) = 0 would erase a column: a zero pivot counts as positive.
        let diagonal = r.diagonal(0L, -2L, -1L).detach()
        torch.where (diagonal.lt (held 0.0f), torch.tensor -1.0f, torch.tensor 1.0f)

    /// <summary>
    /// The Q of a QR factorisation whose R has a positive diagonal, [d, r] → [d, r]: in O(d r²), without a d×d buffer.
    /// Unlike plain LAPACK QR it is continuous (no column flips when a pivot crosses zero) and leaves an orthonormal
    /// matrix as it is.
    /// </summary>
    let positiveQr (free: Tensor) : Tensor =
        let struct (q, r) = torch.linalg.qr free
        q * signs r

    /// <summary>A uniformly random matrix [d, r] with orthonormal columns.</summary>
    let random (width: int) (rank: int) (rng: Rng) : Tensor =
        use _ = torch.NewDisposeScope()

        (Rng.normal [ int64 width; int64 rank ] rng |> positiveQr).MoveToOuterDisposeScope()

    /// <summary>
    /// The free matrix from which training of an orthonormal one starts: half of it. Its image is the matrix itself, and
    /// an optimizer step of a given size turns R as far as it does under torch's map, whose reflections turn it by twice
    /// the step.
    /// </summary>
    let free (columns: Tensor) : Tensor = columns *. 0.5f

    /// <summary>The default: QR with a positive diagonal.</summary>
    let qr: OrthonormalMap =
        { Name = "qr"
          Init = fun width rank rng -> Parameters.ofSeq [ Free, Scope.run (fun () -> random width rank rng |> free) ]
          Apply = fun theta -> positiveQr theta[Free] }

    /// <summary>
    /// torch.nn.utils.parametrizations.orthogonal's map, for reproducing pyreft's training runs: R = B·H(X), where B is
    /// a constant d×d orthogonal matrix and H the product of the Householder reflections below X's diagonal. Where r = d,
    /// torch takes R = B·exp(A − Aᵀ) with A the lower triangle of X instead, and so does this.
    /// </summary>
    let householder: OrthonormalMap =
        { Name = "householder"
          Init =
            fun width rank rng ->
                let eye = -(torch.eye (int64 width, int64 rank, dtype = torch.float32))

                Parameters
                    [ Parameters.entry Role.Undecayed Free eye
                      Parameters.entry Role.Constant Base (random width width rng) ]
          Apply =
            fun theta ->
                let x = theta[Free]

                let q =
                    if x.shape[0] = x.shape[1] then
                        let lower = x.tril ()
                        torch.matrix_exp (lower - lower.t ())
                    else
                        let below = x.tril -1L
                        let tau = ((squared below).sum(-2L) +. 1.0).reciprocal() *. 2.0
                        // torch casts the diagonal to whole numbers: it carries a sign, and no gradient.
                        let sign = x.diagonal(0L, -2L, -1L).detach().trunc().unsqueeze -2L
                        torch.linalg.householder_product (below, tau) * sign

                torch.mm (theta[Base], q) }

    /// <summary>Every map, by name.</summary>
    let all: OrthonormalMap list = [ qr; householder ]

    /// <summary>The map of a name.</summary>
    /// <exception cref="T:System.ArgumentException">There is none of that name.</exception>
    let ofName (name: string) : OrthonormalMap =
        match all |> List.tryFind (fun map -> map.Name = name) with
        | Some map -> map
        | None ->
            let known = all |> List.map (fun map -> map.Name) |> String.concat ", "
            invalidArg (nameof name) $"there is no orthonormal map '{name}': expected one of {known}"
