namespace Reft.Core

open TorchSharp

/// <summary>The options of LobiReFT.</summary>
[<NoEquality; NoComparison>]
type LobireftOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
        /// Where training starts. Identity: s = 0.
        Start: Start
    }

/// <summary>
/// Low-rank bias ReFT (LobiReFT): Φ(h) = h + Rᵀ s, where R ∈ ℝ^{r×d} has orthonormal rows and s ∈ ℝ^r is learnt: the
/// ablation h + Rᵀb of the paper's Table 17 (arXiv 2404.03592), pyreft's LobireftIntervention. The change does not depend
/// on h: it is computed once, when parameters are bound.
/// </summary>
/// <remarks>
/// Use it as the weakest baseline, or where an edit must be one steering vector.
/// <see cref="T:Reft.Core.ConsreftModule"/> first erases what h holds in those directions;
/// <see cref="T:Reft.Core.DireftOrthonormalModule"/> makes the added vector depend on h.
/// </remarks>
[<RequireQualifiedAccess>]
module Lobireft =

    let private subject = "LobiReFT"

    /// <summary>The paper's options at a rank, starting as pyreft does.</summary>
    let options (rank: int) : LobireftOptions =
        { Rank = rank
          Orthonormal = Orthonormal.qr
          Start = Start.Pyreft }

    let private formOf (options: LobireftOptions) =
        Form.Method(
            "lobireft",
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.orthonormalOption options.Orthonormal
              yield! LowRank.startOption options.Start ]
        )

    let private init (options: LobireftOptions) width rng =
        LowRank.checkWidth subject options.Rank width

        let source =
            match options.Start with
            | Start.Pyreft -> Rng.uniform 0.0 1.0 [ int64 options.Rank ] (Rng.fork 1 rng)
            | Start.Identity -> torch.zeros (int64 options.Rank, dtype = torch.float32)

        Parameters.concat
            [ options.Orthonormal.Init width options.Rank (Rng.fork 0 rng)
              Parameters.ofSeq [ LowRank.Source, source ] ]

    let private bind (options: LobireftOptions) (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows
        let columns = options.Orthonormal.Apply theta |> choose 1L // Rᵀ [d, r]
        let source = (choose 0L theta[LowRank.Source]).unsqueeze 0L // [1, r]
        let change = torch.nn.functional.linear (source, columns) // [1, d]
        Edit.Delta(fun _ h -> change.expand h.shape)

    /// <summary>LobiReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive.</exception>
    let create (options: LobireftOptions) : Intervention =
        LowRank.checkRank subject options.Rank

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>LobiReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "lobireft" [ "rank"; "orthonormal"; "start" ]

        create
            { Rank = options |> FormOptions.required "lobireft" "rank"
              Orthonormal = options |> LowRank.orthonormal "lobireft"
              Start = options |> LowRank.start "lobireft" }
