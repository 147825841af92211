namespace Reft.Core

open TorchSharp

/// <summary>The options of ConsReFT.</summary>
[<NoEquality; NoComparison>]
type ConsreftOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
    }

/// <summary>
/// Constant subspace ReFT (ConsReFT): Φ(h) = h + Rᵀ(s − R h), where R ∈ ℝ^{r×d} has orthonormal rows and s ∈ ℝ^r is
/// learnt: the ablation h + Rᵀ(b − Rh) of the paper's Table 17 (arXiv 2404.03592), pyreft's ConsreftIntervention. It puts
/// the same point s in the place of whatever h is within the r directions of R.
/// </summary>
/// <remarks>
/// Use it to write one fixed thing into a place (the paper's Appendix F memorises a text with it), or to see what a fixed
/// target explains of LoReFT. <see cref="T:Reft.Core.LobireftModule"/> adds a fixed vector instead of replacing;
/// <see cref="T:Reft.Core.LoreftModule"/> makes the target depend on h. It has no identity start, since it erases R h
/// whatever s is: gate it with a scalar gate that starts at 0.
/// </remarks>
[<RequireQualifiedAccess>]
module Consreft =

    let private subject = "ConsReFT"

    /// <summary>The paper's options at a rank.</summary>
    let options (rank: int) : ConsreftOptions =
        { Rank = rank
          Orthonormal = Orthonormal.qr }

    let private formOf (options: ConsreftOptions) =
        Form.Method(
            "consreft",
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.orthonormalOption options.Orthonormal ]
        )

    let private init (options: ConsreftOptions) width rng =
        LowRank.checkWidth subject options.Rank width

        Parameters.concat
            [ options.Orthonormal.Init width options.Rank (Rng.fork 0 rng)
              Parameters.ofSeq [ LowRank.Source, Rng.uniform 0.0 1.0 [ int64 options.Rank ] (Rng.fork 1 rng) ] ]

    let private bind (options: ConsreftOptions) (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows
        let columns = options.Orthonormal.Apply theta |> choose 1L // Rᵀ [d, r]
        LowRank.twoStage (columns.t().neg()) (choose 0L theta[LowRank.Source]) columns

    /// <summary>ConsReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive.</exception>
    let create (options: ConsreftOptions) : Intervention =
        LowRank.checkRank subject options.Rank

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>ConsReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "consreft" [ "rank"; "orthonormal"; "start" ]

        if options |> LowRank.start "consreft" = Start.Identity then
            invalidArg
                (nameof options)
                "ConsReFT cannot start at identity, since it replaces R h whatever its source is: gate it with a scalar gate that starts at 0"

        create
            { Rank = options |> FormOptions.required "consreft" "rank"
              Orthonormal = options |> LowRank.orthonormal "consreft" }
