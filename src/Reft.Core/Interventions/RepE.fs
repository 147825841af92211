namespace Reft.Core

open TorchSharp

/// <summary>
/// Representation engineering's three operators along a constant reading vector v (arXiv 2310.01405, section 3.2); find
/// one with <c>ReadingVector.pca</c>. Nothing is trained.
/// </summary>
/// <remarks>
/// <para><c>linear</c>: Φ(h) = h + α v. The same push everywhere: activation addition under RepE's name.</para>
/// <para><c>piecewise</c>: Φ(h) = h + α sign(hᵀv) v. Strengthens whichever side h is on; α &lt; 0 weakens it.</para>
/// <para>
/// <c>projection</c>: Φ(h) = h − α (hᵀv / ‖v‖²) v. With α = 1 nothing is left along v: it erases a concept where the others
/// steer it.
/// </para>
/// </remarks>
[<RequireQualifiedAccess>]
module RepE =

    let private build name (bind: Tensor -> Tensor -> Tensor) (coefficient: float) (known: Tensor option) =
        if not (System.Double.IsFinite coefficient) then
            invalidArg (nameof coefficient) $"{name}: expected a finite coefficient, found {coefficient}"

        let form =
            Form.Method(
                name,
                [ if coefficient <> 1.0 then
                      "coefficient", FormOption.Float coefficient ]
            )

        Intervention.create form (fun width _ -> ReadingVector.parameters name known width) (fun theta ->
            let change = bind theta["vector"]
            Edit.Delta(fun _ h -> change h *. coefficient))

    let private along (vector: Tensor) (h: Tensor) =
        torch.nn.functional.linear (h, vector.unsqueeze 0L) // hᵀv [n, 1]

    let private buildLinear = build "repe_linear" (fun vector h -> vector.expand_as h)

    let private buildPiecewise =
        build "repe_piecewise" (fun vector ->
            let read = along vector
            fun h -> (read h).sign() * vector)

    let private buildProjection =
        build "repe_projection" (fun vector ->
            // Zeros stand where a file has not filled the vector yet: they project to zero, not to NaN.
            let dual = vector / (squared vector).sum().clamp_min(held 1e-24)
            let read = along vector
            fun h -> -(read h * dual))

    let private create name build coefficient vector =
        Native.load ()
        ReadingVector.hold name vector |> Some |> build coefficient

    /// <summary>h + α v.</summary>
    /// <exception cref="T:System.ArgumentException">The vector is not one, is zero or not finite; or α is not finite.</exception>
    let linear (coefficient: float) (vector: Tensor) : Intervention =
        create "repe_linear" buildLinear coefficient vector

    /// <summary>h + α sign(hᵀv) v.</summary>
    /// <exception cref="T:System.ArgumentException">The vector is not one, is zero or not finite; or α is not finite.</exception>
    let piecewise (coefficient: float) (vector: Tensor) : Intervention =
        create "repe_piecewise" buildPiecewise coefficient vector

    /// <summary>h − α (hᵀv / ‖v‖²) v.</summary>
    /// <exception cref="T:System.ArgumentException">The vector is not one, is zero or not finite; or α is not finite.</exception>
    let projection (coefficient: float) (vector: Tensor) : Intervention =
        create "repe_projection" buildProjection coefficient vector

    let private ofForm name build (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown name [ "coefficient" ]
        build (options |> FormOptions.float name "coefficient" 1.0) None

    /// <summary><c>linear</c> from the options that its form holds; the vector is zero until a file fills it.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let linearOfForm (options: (string * FormOption) list) : Intervention =
        ofForm "repe_linear" buildLinear options

    /// <summary><c>piecewise</c> from the options that its form holds; the vector is zero until a file fills it.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let piecewiseOfForm (options: (string * FormOption) list) : Intervention =
        ofForm "repe_piecewise" buildPiecewise options

    /// <summary><c>projection</c> from the options that its form holds; the vector is zero until a file fills it.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let projectionOfForm (options: (string * FormOption) list) : Intervention =
        ofForm "repe_projection" buildProjection options
