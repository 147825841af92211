namespace Reft.Core

open TorchSharp

/// <summary>The options of DiReFT with orthonormal R.</summary>
[<NoEquality; NoComparison>]
type DireftOrthonormalOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// Applied to W h + b. Linear in the paper.
        Activation: Activation
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
        /// Where training starts. Identity: W = 0 and b = 0, with an activation that is 0 at 0 and not flat there.
        Start: Start
    }

/// <summary>
/// DiReFT with orthonormal R: Φ(h) = h + Rᵀ(W h + b), where R ∈ ℝ^{r×d} has orthonormal rows. This is pyreft's
/// DireftIntervention, and the ablation h + Rᵀ(Wh + b) of the paper's Table 17 (arXiv 2404.03592). It is <i>not</i> what
/// the paper calls DiReFT: that is <see cref="T:Reft.Core.DireftPaperModule"/>.
/// </summary>
/// <remarks>
/// Use it to see what LoReFT's subtraction of R h is worth, or to load what pyreft's DireftIntervention has learnt.
/// <see cref="T:Reft.Core.LoreftModule"/> subtracts R h; <see cref="T:Reft.Core.DireftPaperModule"/> does without
/// orthonormality, and so without its cost.
/// </remarks>
[<RequireQualifiedAccess>]
module DireftOrthonormal =

    let private subject = "DiReFT with orthonormal R"

    [<Literal>]
    let private Method = "direft_orthonormal"

    /// <summary>pyreft's options at a rank, starting as it does.</summary>
    let options (rank: int) : DireftOrthonormalOptions =
        { Rank = rank
          Activation = Activation.linear
          Orthonormal = Orthonormal.qr
          Start = Start.Pyreft }

    let private formOf (options: DireftOrthonormalOptions) =
        Form.Method(
            Method,
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.activationOption options.Activation
              yield! LowRank.orthonormalOption options.Orthonormal
              yield! LowRank.startOption options.Start ]
        )

    let private init (options: DireftOrthonormalOptions) width rng =
        LowRank.checkWidth subject options.Rank width

        Parameters.concat
            [ options.Orthonormal.Init width options.Rank (Rng.fork 0 rng)
              Parameters(
                  match options.Start with
                  | Start.Pyreft -> LowRank.linear LowRank.Weight LowRank.Bias options.Rank width rng
                  | Start.Identity -> LowRank.zeros options.Rank width
              ) ]

    let private bind (options: DireftOrthonormalOptions) (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows
        let columns = options.Orthonormal.Apply theta |> choose 1L // Rᵀ [d, r]
        LowRank.through options.Activation (choose 0L theta[LowRank.Weight]) (choose 0L theta[LowRank.Bias]) columns

    /// <summary>DiReFT with orthonormal R, with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive, or the activation does not allow the identity start.</exception>
    let create (options: DireftOrthonormalOptions) : Intervention =
        LowRank.checkRank subject options.Rank
        LowRank.onlyZeroIdentity subject options.Start options.Activation

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>DiReFT with orthonormal R from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options
        |> FormOptions.onlyKnown Method [ "rank"; "activation"; "orthonormal"; "start" ]

        create
            { Rank = options |> FormOptions.required Method "rank"
              Activation = options |> LowRank.activation Method
              Orthonormal = options |> LowRank.orthonormal Method
              Start = options |> LowRank.start Method }
