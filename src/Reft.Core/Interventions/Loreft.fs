namespace Reft.Core

open TorchSharp

/// <summary>The options of LoReFT.</summary>
[<NoEquality; NoComparison>]
type LoreftOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// Applied to W h + b. Linear in the paper.
        Activation: Activation
        /// From the free matrix to R.
        Orthonormal: OrthonormalMap
        /// Where training starts. Identity: W = R and b = 0, with a linear activation only.
        Start: Start
    }

/// <summary>
/// Low-rank linear subspace ReFT (LoReFT): Φ(h) = h + Rᵀ(W h + b − R h), where R ∈ ℝ^{r×d} has orthonormal rows
/// (arXiv 2404.03592, equation 3). It moves h, within the r directions of R, to where W h + b says.
/// </summary>
/// <remarks>
/// With a linear activation it is bound as one low-rank map, Δ = Rᵀ((W − R) h + b). R is stored as its transpose
/// [d, r], as pyreft does. Use it first. Its neighbours: <see cref="T:Reft.Core.DireftPaperModule"/> (DiReFT) drops the
/// orthonormality and the subtraction, and with them the QR of a step: it is cheaper and nearly as good;
/// <see cref="T:Reft.Core.NoreftModule"/> drops the orthonormality alone,
/// <see cref="T:Reft.Core.DireftOrthonormalModule"/> the subtraction alone.
/// </remarks>
[<RequireQualifiedAccess>]
module Loreft =

    let private subject = "LoReFT"

    /// <summary>The paper's options at a rank, starting as pyreft does.</summary>
    let options (rank: int) : LoreftOptions =
        { Rank = rank
          Activation = Activation.linear
          Orthonormal = Orthonormal.qr
          Start = Start.Pyreft }

    let private formOf options =
        Form.Method(
            "loreft",
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.activationOption options.Activation
              yield! LowRank.orthonormalOption options.Orthonormal
              yield! LowRank.startOption options.Start ]
        )

    let private init options width rng =
        LowRank.checkWidth subject options.Rank width
        let rotation = options.Orthonormal.Init width options.Rank (Rng.fork 0 rng)

        let linear =
            match options.Start with
            | Start.Pyreft -> LowRank.linear LowRank.Weight LowRank.Bias options.Rank width rng
            | Start.Identity ->
                // By the same map as Bind, so that W − R is 0 to the last bit.
                let rows =
                    Scope.run (fun () -> (options.Orthonormal.Apply rotation).t().contiguous())

                [ Parameters.entry Role.Decayed LowRank.Weight rows
                  Parameters.entry Role.Undecayed LowRank.Bias (torch.zeros (int64 options.Rank, dtype = torch.float32)) ]

        Parameters.concat [ rotation; Parameters linear ]

    let private bind options (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows
        let columns = options.Orthonormal.Apply theta |> choose 1L // Rᵀ [d, r]
        let weight = theta[LowRank.Weight] |> choose 0L // [r, d]
        let bias = theta[LowRank.Bias] |> choose 0L // [r]

        if options.Activation.Name = Activation.linear.Name then
            LowRank.twoStage (weight - columns.t ()) bias columns // (W − R) h + b
        else
            let rotation = columns.t ()

            Edit.Delta(fun _ h ->
                let target =
                    torch.nn.functional.linear (h, weight, bias) |> options.Activation.Apply

                let current = torch.nn.functional.linear (h, rotation)
                torch.nn.functional.linear (target - current, columns))

    /// <summary>LoReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive, or an activation that is not linear is to start at identity.</exception>
    let create (options: LoreftOptions) : Intervention =
        LowRank.checkRank subject options.Rank
        LowRank.onlyLinearIdentity subject options.Start options.Activation

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>LoReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options
        |> FormOptions.onlyKnown "loreft" [ "rank"; "activation"; "orthonormal"; "start" ]

        create
            { Rank = options |> FormOptions.required "loreft" "rank"
              Activation = options |> LowRank.activation "loreft"
              Orthonormal = options |> LowRank.orthonormal "loreft"
              Start = options |> LowRank.start "loreft" }
