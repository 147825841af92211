namespace Reft.Core

open TorchSharp

/// <summary>The options of an interchange in a learnt subspace.</summary>
[<NoEquality; NoComparison>]
type RotatedInterchangeOptions =
    {
        /// The number of directions r that are swapped; 1 … width.
        Rank: int
        /// The name of the source run.
        Source: string
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
    }

/// <summary>
/// Distributed alignment search (DAS): h ↦ h + Rᵀ(R s − R h), where R ∈ ℝ^{r×d} has learnt orthonormal rows and s is the
/// activation of a source run (Geiger et al., arXiv 2303.02536; pyvene's <c>LowRankRotatedSpaceIntervention</c>, and its
/// <c>RotatedSpaceIntervention</c> with r = d and a chosen subspace). Only the part of h in the r directions becomes the
/// source's.
/// </summary>
/// <remarks>
/// Where the number of directions is to be learnt as well, use its neighbour
/// <see cref="T:Reft.Core.BoundlessInterchangeModule"/>; without a source run, ReFT.
/// </remarks>
[<RequireQualifiedAccess>]
module RotatedInterchange =

    /// <summary>DAS at a rank, with the source run <c>source</c>.</summary>
    let options (rank: int) : RotatedInterchangeOptions =
        { Rank = rank
          Source = Sources.DefaultName
          Orthonormal = Orthonormal.qr }

    let private formOf options =
        Form.Method(
            "rotated_interchange",
            [ "rank", FormOption.Int options.Rank
              yield! Sources.options options.Source
              yield! LowRank.orthonormalOption options.Orthonormal ]
        )

    let private init options width rng =
        if options.Rank > width then
            invalidArg
                (nameof options)
                $"the rank of an interchange must not exceed the width it edits: expected a rank of 1 … {width}, found {options.Rank}"

        options.Orthonormal.Init width options.Rank rng

    let private bind options (rows: int list option) (theta: Parameters) =
        let columns =
            options.Orthonormal.Apply theta |> LowRank.chooser options.Rank rows 1L // Rᵀ [d, r]

        let rotation = columns.t ()

        Edit.Delta(fun context h ->
            let difference = Sources.rows options.Source context h - h
            torch.nn.functional.linear (torch.nn.functional.linear (difference, rotation), columns))

    /// <summary>DAS with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive, or the source has no name.</exception>
    let create (options: RotatedInterchangeOptions) : Intervention =
        if options.Rank < 1 then
            invalidArg (nameof options) $"an interchange in a subspace needs a rank of 1 or more, found {options.Rank}"

        Sources.named options.Source |> ignore

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>DAS from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        let subject = "rotated_interchange"
        options |> FormOptions.onlyKnown subject [ "rank"; "source"; "orthonormal" ]

        create
            { Rank = options |> FormOptions.required subject "rank"
              Source = options |> Sources.ofOptions subject
              Orthonormal = options |> LowRank.orthonormal subject }
