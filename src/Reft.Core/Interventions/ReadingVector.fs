namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// Directions read from activations of two sets of prompts, as <c>Reft.collect</c> returns them: what activation addition
/// and RepE steer along.
/// </summary>
[<RequireQualifiedAccess>]
module ReadingVector =

    let private shape (t: Tensor) = "[" + String.Join(", ", t.shape) + "]"

    let private refuseNotFinite (name: string) (t: Tensor) =
        if not (t.isfinite().all().item<bool>()) then
            let bad = t.isfinite().logical_not().sum().item<int64>()
            invalidArg name $"expected finite numbers, found {bad} of {t.numel ()} that are infinite or not a number"

    let private refuseNotRows (name: string) (t: Tensor) =
        if t.dim () <> 2L || t.shape[0] < 1L then
            invalidArg name $"expected activations [n, width] with at least one row, found {shape t}"

        refuseNotFinite name t

    let private refuseNotEqual (positives: Tensor) (negatives: Tensor) =
        refuseNotRows "positives" positives
        refuseNotRows "negatives" negatives

        if positives.shape[1] <> negatives.shape[1] then
            invalidArg
                "negatives"
                $"expected the width {positives.shape[1]} of the positives, found {negatives.shape[1]}"

    let private wide (t: Tensor) = t.detach().``to``(torch.float64).cpu()

    /// A vector that every fresh set of parameters copies; it must be finite, and have a direction.
    let internal hold (subject: string) (vector: Tensor) : Tensor =
        if vector.dim () <> 1L || vector.numel () = 0L then
            invalidArg (nameof vector) $"{subject} needs a vector [width], found {shape vector}"

        refuseNotFinite (nameof vector) vector

        if vector.count_nonzero().item<int64>() = 0L then
            invalidArg (nameof vector) $"{subject} needs a vector with a direction, found zeros"

        vector.detach().``to``(torch.float32).cpu().clone().DetachFromDisposeScope()

    /// The constant "vector" of a width: the one held, or zeros for a file to fill.
    let internal parameters (subject: string) (held: Tensor option) (width: int) : Parameters =
        let value =
            match held with
            | None -> torch.zeros (int64 width, dtype = torch.float32)
            | Some vector when vector.shape[0] = int64 width -> vector.clone ()
            | Some vector ->
                invalidArg
                    "vector"
                    $"{subject}: expected a vector of the width it edits, {width}, found one of {vector.shape[0]}: collect it at the same site"

        Parameters [ Parameters.entry Role.Constant "vector" value ]

    /// <summary>
    /// The mean of the positives minus that of the negatives (arXiv 2312.06681; with one row each, arXiv 2308.10248).
    /// [n, width], [m, width] → [width] fp32
    /// </summary>
    /// <exception cref="T:System.ArgumentException">Shapes that do not fit, or numbers that are not finite.</exception>
    let ofMeans (positives: Tensor) (negatives: Tensor) : Tensor =
        Native.load ()
        refuseNotEqual positives negatives

        Scope.run (fun () ->
            let mean (rows: Tensor) =
                (wide rows).mean([| 0L |], false, torch.float64)

            (mean positives - mean negatives).``to`` torch.float32)

    /// <summary>
    /// The first principal component of the differences of pairs, of norm 1, with the sign under which the positives
    /// project higher on average (arXiv 2310.01405, section 3.1.2). [n, width], [n, width] → [width] fp32
    /// </summary>
    /// <remarks>
    /// RepE gives the differences random signs and centres them. Over all signs their mean is zero, so the component of
    /// the differences as they are, uncentred, is the same direction without the chance; one pair gives its difference.
    /// Computed in fp64, so that it does not depend on the number of threads.
    /// </remarks>
    /// <exception cref="T:System.ArgumentException">Shapes that do not fit, numbers that are not finite, or pairs that are all alike.</exception>
    let pca (positives: Tensor) (negatives: Tensor) : Tensor =
        Native.load ()
        refuseNotEqual positives negatives

        if positives.shape[0] <> negatives.shape[0] then
            invalidArg
                (nameof negatives)
                $"expected as many negatives as positives, {positives.shape[0]}, one for each pair, found {negatives.shape[0]}"

        Scope.run (fun () ->
            let differences = wide positives - wide negatives

            if differences.count_nonzero().item<int64>() = 0L then
                invalidArg (nameof negatives) "expected pairs that differ, found positives equal to the negatives"

            let struct (_, _, components) = torch.linalg.svd (differences, fullMatrices = false)

            let first = components[0] // [width]

            let lead =
                (differences.mean ([| 0L |], false, torch.float64) * first).sum().item<float>()

            let sign =
                // Where the projections tie, the largest coordinate is positive.
                if abs lead > 1e-12 then
                    sign lead
                else
                    let largest = first.abs().argmax().item<int64>()
                    sign (first[largest].item<float>())

            ((first *. float sign) / first.norm ()).``to`` torch.float32)
