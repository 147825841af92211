namespace Reft.Core

open System
open TorchSharp

/// Constant tensors that interventions are made with: reading vectors, components, autoencoder weights.
[<RequireQualifiedAccess>]
module internal ConstantValue =

    let private shape (sizes: int64 seq) = "[" + String.Join(", ", sizes) + "]"

    /// An fp32 copy on the CPU that no scope owns, of the shape and finite, or refused.
    let copy (subject: string) (name: string) (expected: int64 list) (value: Tensor) : Tensor =
        if List.ofArray value.shape <> expected then
            invalidArg name $"{name} of {subject}: expected shape {shape expected}, found {shape value.shape}"

        use _ = torch.NewDisposeScope()
        let copy = value.detach().cpu().``to``(torch.float32).clone()

        if not (copy.isfinite().all().item<bool>()) then
            invalidArg name $"{name} of {subject}: expected finite numbers, found NaN or infinity"

        copy.DetachFromDisposeScope()

    /// The width that the values were made for must be the site's.
    let refuseWidth (subject: string) (own: int) (width: int) : unit =
        if own <> width then
            invalidArg
                (nameof width)
                $"{subject} was made for rows of width {own}: expected a site of that width, found {width}"
