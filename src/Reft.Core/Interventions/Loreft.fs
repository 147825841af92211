namespace Reft.Core

open System
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
    }

/// <summary>
/// Low-rank linear subspace ReFT (LoReFT): Φ(h) = h + Rᵀ(W h + b − R h), where R ∈ ℝ^{r×d} has orthonormal rows
/// (arXiv 2404.03592, equation 3). It moves h, within the r directions of R, to where W h + b says.
/// </summary>
/// <remarks>
/// With a linear activation it is bound as one low-rank map, Δ = Rᵀ((W − R) h + b). R is stored as its transpose
/// [d, r], as pyreft does. Its neighbour DiReFT drops the orthonormality and the subtraction.
/// </remarks>
[<RequireQualifiedAccess>]
module Loreft =

    /// <summary>The paper's options at a rank.</summary>
    let options (rank: int) : LoreftOptions =
        { Rank = rank
          Activation = Activation.linear
          Orthonormal = Orthonormal.qr }

    let private formOf options =
        Form.Method(
            "loreft",
            [ "rank", FormOption.Int options.Rank
              if options.Activation.Name <> "linear" then
                  "activation", FormOption.Text options.Activation.Name
              if options.Orthonormal.Name <> "qr" then
                  "orthonormal", FormOption.Text options.Orthonormal.Name ]
        )

    let private init options width rng =
        if options.Rank > width then
            invalidArg
                (nameof options)
                $"LoReFT's rank must not exceed the width it edits: expected a rank of 1 … {width}, found {options.Rank}"

        // pyreft's initialisation: R uniformly random, W and b as torch.nn.Linear has them, U(−1/√d, 1/√d).
        let bound = 1.0 / sqrt (float width)

        let linear =
            [ Parameters.entry
                  Role.Decayed
                  "weight"
                  (Rng.uniform -bound bound [ int64 options.Rank; int64 width ] (Rng.fork 1 rng))
              Parameters.entry Role.Undecayed "bias" (Rng.uniform -bound bound [ int64 options.Rank ] (Rng.fork 2 rng)) ]

        Parameters.concat
            [ options.Orthonormal.Init width options.Rank (Rng.fork 0 rng)
              Parameters linear ]

    let private bind options (rows: int list option) (theta: Parameters) =
        let columns = options.Orthonormal.Apply theta // Rᵀ [d, r]
        let weight, bias = theta["weight"], theta["bias"] // [r, d], [r]

        let columns, weight, bias =
            match rows with
            | None -> columns, weight, bias
            | Some rows ->
                if rows |> List.exists (fun row -> row >= options.Rank) then
                    invalidArg (nameof rows) $"expected rows of 0 … {options.Rank - 1}, found %A{rows}"

                let index =
                    (torch.tensor (rows |> List.map int64 |> List.toArray)).``to`` columns.device

                columns.index_select (1L, index), weight.index_select (0L, index), bias.index_select (0L, index)

        if options.Activation.Name = "linear" then
            let down = weight - columns.t () // W − R
            Edit.Delta(fun _ h -> torch.nn.functional.linear (torch.nn.functional.linear (h, down, bias), columns))
        else
            let rotation = columns.t ()

            Edit.Delta(fun _ h ->
                let target =
                    torch.nn.functional.linear (h, weight, bias) |> options.Activation.Apply

                let current = torch.nn.functional.linear (h, rotation)
                torch.nn.functional.linear (target - current, columns))

    /// <summary>LoReFT with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive.</exception>
    let create (options: LoreftOptions) : Intervention =
        if options.Rank < 1 then
            invalidArg (nameof options) $"LoReFT needs a rank of 1 or more, found {options.Rank}"

        { Form = formOf options
          Init = init options
          Bind = bind options None
          BindRows = Some(fun rows -> bind options (Some rows))
          Parts = [] }

    /// <summary>LoReFT from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options
        |> FormOptions.onlyKnown "loreft" [ "rank"; "activation"; "orthonormal" ]

        create
            { Rank = options |> FormOptions.required "loreft" "rank"
              Activation = options |> FormOptions.text "loreft" "activation" "linear" |> Activation.ofName
              Orthonormal = options |> FormOptions.text "loreft" "orthonormal" "qr" |> Orthonormal.ofName }
