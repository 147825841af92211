namespace Reft.Core

open TorchSharp

/// <summary>The options of a masked interchange.</summary>
[<NoEquality; NoComparison>]
type SigmoidMaskOptions =
    {
        /// Whether the mask acts on the coordinates of a learnt rotation rather than on the neurons themselves.
        Rotated: bool
        /// T: how soft the mask is.
        Temperature: float
        /// The name of the source run.
        Source: string
        /// From the free matrix to the rotation, where there is one.
        Orthonormal: OrthonormalMap
    }

/// <summary>
/// Interchange under a learnt mask: h ↦ (1 − m) ⊙ h + m ⊙ s with m = σ(mask / T), neuron by neuron (pyvene's
/// <c>SigmoidMaskIntervention</c>), or h ↦ h + Rᵀ(m ⊙ (R s − R h)) in a learnt rotation R ∈ ℝ^{d×d}
/// (<c>SigmoidMaskRotatedSpaceIntervention</c>). It learns which coordinates matter, where DAS learns directions.
/// </summary>
/// <remarks>
/// The mask starts at 0 (m = ½), in a rotation at 100, which at T = 50 is m = 0.88: pyvene's defaults. At T = 0.01 the
/// mask saturates after small steps; anneal the temperature for a smoother start. The mask is in units of the temperature:
/// at T = 50 it needs steps to match.
/// </remarks>
[<RequireQualifiedAccess>]
module SigmoidMask =

    [<Literal>]
    let private Mask = "mask"

    /// <summary>The mask over neurons, temperature 0.01, source run <c>source</c>.</summary>
    let options: SigmoidMaskOptions =
        { Rotated = false
          Temperature = 0.01
          Source = Sources.DefaultName
          Orthonormal = Orthonormal.qr }

    /// <summary>The mask over the coordinates of a learnt rotation, temperature 50, source run <c>source</c>.</summary>
    let rotatedOptions: SigmoidMaskOptions =
        { options with
            Rotated = true
            Temperature = 50.0 }

    let private formOf given =
        let standard = if given.Rotated then rotatedOptions else options

        Form.Method(
            "sigmoid_mask",
            [ if given.Rotated then
                  "rotated", FormOption.Flag true
              if given.Temperature <> standard.Temperature then
                  "temperature", FormOption.Float given.Temperature
              yield! Sources.options given.Source
              if given.Orthonormal.Name <> "qr" then
                  "orthonormal", FormOption.Text given.Orthonormal.Name ]
        )

    let private init given (width: int) rng =
        let start = if given.Rotated then 100.0f else 0.0f

        Parameters.concat
            [ if given.Rotated then
                  given.Orthonormal.Init width width rng
              Parameters.ofSeq [ Mask, torch.full (int64 width, held start, dtype = torch.float32) ] ]

    let private bind given (theta: Parameters) =
        let mask = (theta[Mask] /. given.Temperature).sigmoid()

        let difference context h = Sources.rows given.Source context h - h

        if given.Rotated then
            let columns = given.Orthonormal.Apply theta // Rᵀ [d, d]
            let rotation = columns.t ()

            Edit.Delta(fun context h ->
                let rotated = torch.nn.functional.linear (difference context h, rotation)
                torch.nn.functional.linear (rotated * mask, columns))
        else
            Edit.Delta(fun context h -> mask * difference context h)

    /// <summary>A masked interchange with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The temperature is not positive, or the source has no name.</exception>
    let create (given: SigmoidMaskOptions) : Intervention =
        if not (given.Temperature > 0.0 && given.Temperature < infinity) then
            invalidArg (nameof given) $"expected a finite temperature above 0, found {given.Temperature}"

        Sources.named given.Source |> ignore
        Intervention.create (formOf given) (init given) (bind given)

    /// <summary>The same intervention at another temperature, over the same parameters.</summary>
    /// <exception cref="T:System.ArgumentException">The temperature is not positive.</exception>
    let atTemperature (temperature: float) (given: SigmoidMaskOptions) : Intervention =
        create { given with Temperature = temperature }

    /// <summary>A masked interchange from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or out of range.</exception>
    let ofForm (given: (string * FormOption) list) : Intervention =
        let subject = "sigmoid_mask"

        given
        |> FormOptions.onlyKnown subject [ "rotated"; "temperature"; "source"; "orthonormal" ]

        let standard =
            if given |> FormOptions.flag subject "rotated" false then
                rotatedOptions
            else
                options

        create
            { standard with
                Temperature = given |> FormOptions.float subject "temperature" standard.Temperature
                Source = given |> Sources.ofOptions subject
                Orthonormal = given |> FormOptions.text subject "orthonormal" "qr" |> Orthonormal.ofName }
