namespace Reft.Core

open TorchSharp

/// <summary>How a bottleneck adapter is made.</summary>
[<NoComparison; NoEquality>]
type BottleneckOptions =
    {
        /// The width of the bottleneck.
        Rank: int
        /// What is applied in it.
        Activation: Activation
    }

/// <summary>
/// A bottleneck adapter: Φ(h) = h + U σ(D h + b) + c (Houlsby et al., arXiv 1902.00751, section 2.1). U and c are 0 at the
/// start, so that training begins at the base model.
/// </summary>
/// <remarks>
/// At the outputs of attention and MLP of every layer, at all positions, it is Houlsby's; at the MLP's alone, Pfeiffer's
/// (arXiv 2005.00247). It is the paper's DiReFT with an activation, two biases and no choice of tokens.
/// </remarks>
[<RequireQualifiedAccess>]
module Bottleneck =

    [<Literal>]
    let private Method = "bottleneck"

    /// <summary>A width with a ReLU.</summary>
    let options (rank: int) : BottleneckOptions =
        { Rank = rank
          Activation = Activation.ofName "relu" }

    let private init (options: BottleneckOptions) width rng =
        LowRank.checkWidth Method options.Rank width
        let r, d = int64 options.Rank, int64 width

        Parameters
            [ Parameters.entry Role.Decayed LowRank.Weight (Start.linear width [ r; d ] (Rng.fork 1 rng))
              Parameters.entry Role.Undecayed LowRank.Bias (torch.zeros (r, dtype = torch.float32))
              Parameters.entry Role.Decayed LowRank.Projection (torch.zeros (r, d, dtype = torch.float32))
              Parameters.entry Role.Undecayed LowRank.ProjectionBias (torch.zeros (d, dtype = torch.float32)) ]

    let private bind (options: BottleneckOptions) (theta: Parameters) =
        let up = theta[LowRank.Projection].t() // U [d, r]

        Edit.Delta(fun _ h ->
            let inner =
                torch.nn.functional.linear (h, theta[LowRank.Weight], theta[LowRank.Bias])
                |> options.Activation.Apply

            torch.nn.functional.linear (inner, up, theta[LowRank.ProjectionBias]))

    /// <summary>The adapter.</summary>
    /// <exception cref="T:System.ArgumentException">The rank is not positive.</exception>
    let create (options: BottleneckOptions) : Intervention =
        LowRank.checkRank Method options.Rank

        Intervention.create
            (Form.Method(
                Method,
                [ "rank", FormOption.Int options.Rank
                  if options.Activation.Name <> "relu" then
                      "activation", FormOption.Text options.Activation.Name ]
            ))
            (init options)
            (bind options)

    /// <summary>The adapter from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (form: (string * FormOption) list) : Intervention =
        form |> FormOptions.onlyKnown Method [ "rank"; "activation" ]

        create
            { Rank = form |> FormOptions.required Method "rank"
              Activation = form |> FormOptions.text Method "activation" "relu" |> Activation.ofName }
