namespace Reft.Core

open TorchSharp

/// <summary>
/// Representation EDiting (RED): Φ(h) = s ⊙ h + b, with s = 1 and b = 0 at the start, so that training begins at the base
/// model (arXiv 2402.15179, equation 2).
/// </summary>
/// <remarks>
/// 2d numbers per site and no rank to choose; the paper edits every position of every layer's MLP output. It treats the
/// coordinates one by one: where directions matter, LoReFT moves a chosen subspace. LoFiT is its two halves at attention
/// heads.
/// </remarks>
[<RequireQualifiedAccess>]
module Red =

    let private init (width: int) (_: Rng) =
        Parameters.ofSeq
            [ "scale", torch.ones (int64 width, dtype = torch.float32)
              "bias", torch.zeros (int64 width, dtype = torch.float32) ]

    let private bind (theta: Parameters) =
        let growth, bias = theta["scale"] -. 1.0f, theta["bias"]
        Edit.Delta(fun _ h -> h * growth .+ bias)

    /// <summary>RED.</summary>
    let create: Intervention = Intervention.create (Form.Method("red", [])) init bind

    /// <summary>RED from the options that its <see cref="T:Reft.Core.Form"/> holds: none.</summary>
    /// <exception cref="T:System.ArgumentException">An option is given.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "red" []
        create
