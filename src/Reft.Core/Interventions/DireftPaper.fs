namespace Reft.Core

open TorchSharp

/// <summary>The options of the paper's DiReFT.</summary>
[<NoEquality; NoComparison>]
type DireftPaperOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// Applied to W₁ h + b. Linear in the paper.
        Activation: Activation
        /// pyreft's add_bias: a bias of the projection that is stored and counted and takes no part in the formula, for
        /// exchanging parameters with pyreft. No in the paper.
        Bias: bool
        /// Where training starts. Identity: W₁ = 0 and b = 0, with an activation that is 0 at 0 and not flat there.
        Start: Start
    }

/// <summary>
/// The paper's DiReFT: Φ(h) = h + W₂ᵀ(W₁ h + b), with free W₁, W₂ ∈ ℝ^{r×d} (arXiv 2404.03592, equation 4). pyreft calls
/// it NodireftIntervention; what pyreft calls DireftIntervention is <see cref="T:Reft.Core.DireftOrthonormalModule"/>.
/// </summary>
/// <remarks>
/// Use it where steps must be cheap: there is no R to keep orthonormal. It is LoRA's formula on hidden states.
/// <see cref="T:Reft.Core.LoreftModule"/> keeps R orthonormal and subtracts R h, which the paper finds slightly better;
/// <see cref="T:Reft.Core.NoreftModule"/> subtracts W₂ h.
/// </remarks>
[<RequireQualifiedAccess>]
module DireftPaper =

    let private subject = "DiReFT"

    [<Literal>]
    let private Method = "direft_paper"

    /// <summary>The paper's options at a rank, starting as pyreft does.</summary>
    let options (rank: int) : DireftPaperOptions =
        { Rank = rank
          Activation = Activation.linear
          Bias = false
          Start = Start.Pyreft }

    let private formOf (options: DireftPaperOptions) =
        Form.Method(
            Method,
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.activationOption options.Activation
              if options.Bias then
                  "bias", FormOption.Flag true
              yield! LowRank.startOption options.Start ]
        )

    let private init (options: DireftPaperOptions) width rng =
        LowRank.checkWidth subject options.Rank width
        let r, d = int64 options.Rank, int64 width

        Parameters
            [ Parameters.entry Role.Decayed LowRank.Projection (Start.linear width [ r; d ] (Rng.fork 3 rng))
              if options.Bias then
                  Parameters.entry Role.Undecayed LowRank.ProjectionBias (Start.linear width [ r ] (Rng.fork 4 rng))
              yield!
                  match options.Start with
                  | Start.Pyreft -> LowRank.linear LowRank.Weight LowRank.Bias options.Rank width rng
                  | Start.Identity -> LowRank.zeros options.Rank width ]

    let private bind (options: DireftPaperOptions) (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows 0L
        let up = (choose theta[LowRank.Projection]).t() // W₂ᵀ [d, r]
        LowRank.through options.Activation (choose theta[LowRank.Weight]) (choose theta[LowRank.Bias]) up

    /// <summary>The paper's DiReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive, or the activation does not allow the identity start.</exception>
    let create (options: DireftPaperOptions) : Intervention =
        LowRank.checkRank subject options.Rank
        LowRank.onlyZeroIdentity subject options.Start options.Activation

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>The paper's DiReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options
        |> FormOptions.onlyKnown Method [ "rank"; "activation"; "bias"; "start" ]

        create
            { Rank = options |> FormOptions.required Method "rank"
              Activation = options |> LowRank.activation Method
              Bias = options |> FormOptions.flag Method "bias" false
              Start = options |> LowRank.start Method }
