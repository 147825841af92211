namespace Reft.Core

open TorchSharp

/// <summary>The options of activation addition.</summary>
type ActivationAdditionOptions =
    {
        /// The factor α; negative steers away.
        Coefficient: float
        /// Whether the vector is scaled to norm 1 first, so that α is the size of the change.
        Normalized: bool
    }

/// <summary>
/// Activation addition: Φ(h) = h + α v with a constant v, usually the mean difference of activations of two sets of
/// prompts (arXiv 2308.10248, one pair; arXiv 2312.06681, many).
/// </summary>
/// <remarks>
/// Nothing is trained. RepE's operators make the change depend on h; LobiReFT learns such a vector within a subspace.
/// </remarks>
[<RequireQualifiedAccess>]
module ActivationAddition =

    /// <summary>α = 1, the vector as it is.</summary>
    let options: ActivationAdditionOptions =
        { Coefficient = 1.0
          Normalized = false }

    let private build (options: ActivationAdditionOptions) (known: Tensor option) =
        if not (System.Double.IsFinite options.Coefficient) then
            invalidArg
                (nameof options)
                $"activation_addition: expected a finite coefficient, found {options.Coefficient}"

        let form =
            Form.Method(
                "activation_addition",
                [ if options.Coefficient <> 1.0 then
                      "coefficient", FormOption.Float options.Coefficient
                  if options.Normalized then
                      "normalized", FormOption.Flag true ]
            )

        Intervention.create
            form
            (fun width _ -> ReadingVector.parameters "activation_addition" known width)
            (fun theta ->
                let vector = theta["vector"]

                let unit =
                    if options.Normalized then
                        vector / vector.norm().clamp_min(held 1e-12)
                    else
                        vector

                let change = unit.mul (held options.Coefficient)
                Edit.Delta(fun _ h -> change.expand_as h))

    /// <summary>Activation addition of a vector. [width]</summary>
    /// <exception cref="T:System.ArgumentException">The vector is not one, is zero or not finite; or the coefficient is not finite.</exception>
    let create (options: ActivationAdditionOptions) (vector: Tensor) : Intervention =
        Native.load ()
        ReadingVector.hold "activation_addition" vector |> Some |> build options

    /// <summary>
    /// Activation addition of the mean of the positives minus that of the negatives. [n, width], [m, width]
    /// </summary>
    /// <exception cref="T:System.ArgumentException">Shapes that do not fit, equal means, or numbers that are not finite.</exception>
    let ofMeans (options: ActivationAdditionOptions) (positives: Tensor) (negatives: Tensor) : Intervention =
        use vector = ReadingVector.ofMeans positives negatives
        create options vector

    /// <summary>
    /// Activation addition from the options that its <see cref="T:Reft.Core.Form"/> holds; the vector is zero until a file
    /// fills it.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        let subject = "activation_addition"
        options |> FormOptions.onlyKnown subject [ "coefficient"; "normalized" ]

        build
            { Coefficient = options |> FormOptions.float subject "coefficient" 1.0
              Normalized = options |> FormOptions.flag subject "normalized" false }
            None
