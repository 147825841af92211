namespace Reft.Core

open TorchSharp

/// <summary>The options of boundless DAS.</summary>
[<NoEquality; NoComparison>]
type BoundlessInterchangeOptions =
    {
        /// The number of directions r among which the boundary lies; <c>None</c> is the whole width.
        Rank: int option
        /// How soft the boundary is, in directions; annealed in training from 50 to 0.1.
        Temperature: float
        /// The name of the source run.
        Source: string
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
    }

/// <summary>
/// Boundless DAS: h ↦ h + Rᵀ(m ⊙ (R s − R h)) with a learnt orthonormal R ∈ ℝ^{r×d} and a learnt boundary b ∈ (0, 1]:
/// m_i = σ(i / T) · σ((b r − i) / T) for i = 0 … r − 1 (Wu et al., arXiv 2305.08809; pyvene's
/// <c>BoundlessRotatedSpaceIntervention</c>, where r = d). The number of directions that are swapped, about b r, is learnt.
/// </summary>
/// <remarks>
/// As in pyvene, b starts at 0.5 and is clamped to [0.001, 1], and the mask of direction 0 is at most ½: σ(0 / T).
/// Anneal by binding the same parameters to the intervention at the next temperature, and train with
/// <see cref="M:Reft.Core.BoundlessInterchangeModule.penalty"/>. Where the rank is known, use
/// <see cref="T:Reft.Core.RotatedInterchangeModule"/>.
/// </remarks>
[<RequireQualifiedAccess>]
module BoundlessInterchange =

    [<Literal>]
    let private Boundary = "boundary"

    [<Literal>]
    let private FirstTemperature = 50.0

    /// <summary>pyvene's defaults: the whole width at temperature 50, with the source run <c>source</c>.</summary>
    let options: BoundlessInterchangeOptions =
        { Rank = None
          Temperature = FirstTemperature
          Source = Sources.DefaultName
          Orthonormal = Orthonormal.qr }

    let private formOf options =
        Form.Method(
            "boundless_interchange",
            [ match options.Rank with
              | Some rank -> "rank", FormOption.Int rank
              | None -> ()
              if options.Temperature <> FirstTemperature then
                  "temperature", FormOption.Float options.Temperature
              yield! Sources.options options.Source
              if options.Orthonormal.Name <> "qr" then
                  "orthonormal", FormOption.Text options.Orthonormal.Name ]
        )

    let private init options width rng =
        let rank = options.Rank |> Option.defaultValue width

        if rank > width then
            invalidArg
                (nameof options)
                $"the rank of an interchange must not exceed the width it edits: expected a rank of 1 … {width}, found {rank}"

        Parameters.concat
            [ options.Orthonormal.Init width rank rng
              Parameters.ofSeq [ Boundary, torch.full (1L, held 0.5f, dtype = torch.float32) ] ]

    let private clamped (boundary: Tensor) = boundary.clamp (held 0.001, held 1.0)

    /// <summary>The mask m of each of r directions, [r], from the boundary, [1].</summary>
    /// <param name="temperature">T: at 0.1 the mask is all but a step.</param>
    /// <param name="rank">r.</param>
    /// <param name="boundary">b, a share of the directions.</param>
    let mask (temperature: float) (rank: int) (boundary: Tensor) : Tensor =
        let index =
            torch
                .arange(held 0, held (int64 rank), held 1, dtype = torch.float32)
                .``to``(boundary.dtype, boundary.device)

        (index /. temperature).sigmoid()
        * ((clamped boundary *. float rank - index) /. temperature).sigmoid()

    /// <summary>
    /// Σ b over every boundary among the parameters: what <c>Loss.withPenalty</c> adds so that as few directions as needed
    /// are swapped.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">There is no boundary.</exception>
    let penalty (theta: Parameters) : Tensor =
        let boundaries =
            [ for p in theta.Entries do
                  if
                      p.Name = Boundary
                      || p.Name.EndsWith("." + Boundary, System.StringComparison.Ordinal)
                  then
                      clamped p.Value ]

        if boundaries.IsEmpty then
            let names = String.concat ", " theta.Names

            invalidArg (nameof theta) $"expected a parameter '{Boundary}' of a boundless interchange, found {names}"

        boundaries |> List.map (fun boundary -> boundary.sum ()) |> List.reduce (.+)

    let private bind options (theta: Parameters) =
        let columns = options.Orthonormal.Apply theta // Rᵀ [d, r]
        let rotation = columns.t ()
        let mask = theta[Boundary] |> mask options.Temperature (int columns.shape[1])

        Edit.Delta(fun context h ->
            let difference = Sources.rows options.Source context h - h
            let swapped = torch.nn.functional.linear (difference, rotation) * mask
            torch.nn.functional.linear (swapped, columns))

    /// <summary>Boundless DAS with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank or the temperature is not positive, or the source has no name.</exception>
    let create (options: BoundlessInterchangeOptions) : Intervention =
        match options.Rank with
        | Some rank when rank < 1 ->
            invalidArg (nameof options) $"a boundless interchange needs a rank of 1 or more, found {rank}"
        | _ -> ()

        if not (options.Temperature > 0.0 && options.Temperature < infinity) then
            invalidArg (nameof options) $"expected a finite temperature above 0, found {options.Temperature}"

        Sources.named options.Source |> ignore
        Intervention.create (formOf options) (init options) (bind options)

    /// <summary>
    /// The same intervention at another temperature, over the same parameters: for annealing, and for use after training.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The temperature is not positive.</exception>
    let atTemperature (temperature: float) (options: BoundlessInterchangeOptions) : Intervention =
        create
            { options with
                Temperature = temperature }

    /// <summary>Boundless DAS from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or out of range.</exception>
    let ofForm (given: (string * FormOption) list) : Intervention =
        let subject = "boundless_interchange"

        given
        |> FormOptions.onlyKnown subject [ "rank"; "temperature"; "source"; "orthonormal" ]

        create
            { Rank =
                if given |> List.exists (fst >> (=) "rank") then
                    Some(given |> FormOptions.required subject "rank")
                else
                    None
              Temperature = given |> FormOptions.float subject "temperature" FirstTemperature
              Source = given |> Sources.ofOptions subject
              Orthonormal = given |> FormOptions.text subject "orthonormal" "qr" |> Orthonormal.ofName }
