namespace Reft.Core

open TorchSharp

/// <summary>The options of NoReFT.</summary>
[<NoEquality; NoComparison>]
type NoreftOptions =
    {
        /// The number of directions r it edits; 1 … width.
        Rank: int
        /// Applied to W₁ h + b. Linear in the paper.
        Activation: Activation
        /// Whether W₂ h has a bias c of its own (pyreft's add_bias). No in the paper.
        Bias: bool
        /// Where training starts. Identity: W₁ = W₂ and b = c, or b = 0 without c, with a linear activation only.
        Start: Start
    }

/// <summary>
/// LoReFT without orthonormality (NoReFT): Φ(h) = h + W₂ᵀ(W₁ h + b − W₂ h), with free W₁, W₂ ∈ ℝ^{r×d}: the ablation
/// h + W₂ᵀ(W₁h + b − W₂h) of the paper's Table 17 (arXiv 2404.03592), pyreft's NoreftIntervention. With a bias c of the
/// projection, Φ(h) = h + W₂ᵀ(W₁ h + b − W₂ h − c).
/// </summary>
/// <remarks>
/// With a linear activation it is bound as Δ = W₂ᵀ((W₁ − W₂) h + b − c). Use it to see what orthonormality is worth, or
/// where a step must not pay for it; <see cref="T:Reft.Core.LoreftModule"/> keeps R orthonormal and with it the size of
/// the edit, <see cref="T:Reft.Core.DireftPaperModule"/> also drops the subtraction.
/// </remarks>
[<RequireQualifiedAccess>]
module Noreft =

    let private subject = "NoReFT"

    /// <summary>The paper's options at a rank, starting as pyreft does.</summary>
    let options (rank: int) : NoreftOptions =
        { Rank = rank
          Activation = Activation.linear
          Bias = false
          Start = Start.Pyreft }

    let private formOf options =
        Form.Method(
            "noreft",
            [ "rank", FormOption.Int options.Rank
              yield! LowRank.activationOption options.Activation
              if options.Bias then
                  "bias", FormOption.Flag true
              yield! LowRank.startOption options.Start ]
        )

    let private init options width rng =
        LowRank.checkWidth subject options.Rank width
        let r, d = int64 options.Rank, int64 width

        let draw stream shape =
            Start.linear width shape (Rng.fork stream rng)

        let projection = draw 3 [ r; d ]

        let projectionBias = if options.Bias then Some(draw 4 [ r ]) else None

        let weight, bias =
            match options.Start with
            | Start.Pyreft -> draw 1 [ r; d ], draw 2 [ r ]
            | Start.Identity ->
                projection.clone (),
                match projectionBias with
                | Some c -> c.clone ()
                | None -> torch.zeros (r, dtype = torch.float32)

        Parameters
            [ Parameters.entry Role.Decayed LowRank.Projection projection
              yield!
                  projectionBias
                  |> Option.map (Parameters.entry Role.Undecayed LowRank.ProjectionBias)
                  |> Option.toList
              Parameters.entry Role.Decayed LowRank.Weight weight
              Parameters.entry Role.Undecayed LowRank.Bias bias ]

    let private bind options (rows: int list option) (theta: Parameters) =
        let choose = LowRank.chooser options.Rank rows 0L
        let projection = theta[LowRank.Projection] |> choose // W₂ [r, d]
        let weight, bias = choose theta[LowRank.Weight], choose theta[LowRank.Bias] // [r, d], [r]
        let up = projection.t () // [d, r]

        let shift =
            if options.Bias then
                Some(choose theta[LowRank.ProjectionBias])
            else
                None

        if options.Activation.Name = Activation.linear.Name then
            let bias = shift |> Option.map (fun c -> bias - c) |> Option.defaultValue bias
            LowRank.twoStage (weight - projection) bias up
        else
            Edit.Delta(fun _ h ->
                let target =
                    torch.nn.functional.linear (h, weight, bias) |> options.Activation.Apply

                let current =
                    match shift with
                    | Some c -> torch.nn.functional.linear (h, projection, c)
                    | None -> torch.nn.functional.linear (h, projection)

                torch.nn.functional.linear (target - current, up))

    /// <summary>NoReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive, or an activation that is not linear is to start at identity.</exception>
    let create (options: NoreftOptions) : Intervention =
        LowRank.checkRank subject options.Rank
        LowRank.onlyLinearIdentity subject options.Start options.Activation

        LowRank.create (formOf options) (init options) (bind options)

    /// <summary>NoReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options
        |> FormOptions.onlyKnown "noreft" [ "rank"; "activation"; "bias"; "start" ]

        create
            { Rank = options |> FormOptions.required "noreft" "rank"
              Activation = options |> LowRank.activation "noreft"
              Bias = options |> FormOptions.flag "noreft" "bias" false
              Start = options |> LowRank.start "noreft" }
