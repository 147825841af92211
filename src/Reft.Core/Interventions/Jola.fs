namespace Reft.Core

open TorchSharp

/// <summary>The options of JoLA.</summary>
type JolaOptions =
    {
        /// The number of attention heads in the rows it edits.
        Heads: int
        /// log α of both gates of every head at the start: 0 is half open.
        Start: float
    }

/// <summary>
/// Joint Localization and Activation editing (JoLA): for each head Φ(h) = (1 + g_m ⊙ m) ⊙ h + g_a ⊙ a, where m and a begin
/// at zero and g_m, g_a are hard concrete gates that choose, while training, which heads are edited and how (arXiv
/// 2502.01179, section 4). Its place is the attention value.
/// </summary>
/// <remarks>
/// The gates are sampled once per step and site in training and fixed otherwise; β = 0.33, γ = −0.1 and ζ = 1.1 as in the
/// authors' code. Add <c>expectedOpen</c> to the loss, or no gate has a reason to close. LoFiT chooses heads in a run of
/// its own; RED edits everything.
/// </remarks>
[<RequireQualifiedAccess>]
module Jola =

    /// The authors' temperature β.
    [<Literal>]
    let private Temperature = 0.33

    /// <summary>Gates half open at the start.</summary>
    let options (heads: int) : JolaOptions = { Heads = heads; Start = 0.0 }

    let private init options (width: int) (_: Rng) =
        if width % options.Heads <> 0 then
            invalidArg
                (nameof options)
                $"jola: expected rows of {options.Heads} heads of equal width, found a width of {width}: give the number of heads of the site"

        let zeros () =
            torch.zeros (int64 width, dtype = torch.float32)

        let gates () =
            torch.full (int64 options.Heads, held options.Start, dtype = torch.float32)

        Parameters.ofSeq
            [ "scale", zeros ()
              "offset", zeros ()
              "scale_gate", gates ()
              "offset_gate", gates () ]

    let private bind options (theta: Parameters) =
        let perHead (t: Tensor) = t.view (int64 options.Heads, -1L)
        let scale, offset = perHead theta["scale"], perHead theta["offset"] // [heads, head_dim]
        let scaleGate, offsetGate = theta["scale_gate"], theta["offset_gate"] // [heads]

        let gated part (context: Context) (logAlpha: Tensor) (values: Tensor) =
            let random = (Context.forPart part context).Random
            let gate = HardConcrete.gate Temperature random logAlpha
            (gate.unsqueeze 1L * values).reshape -1L // [width]

        Edit.Delta(fun context h -> h * gated 0 context scaleGate scale .+ gated 1 context offsetGate offset)

    /// <summary>JoLA with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">No heads, or a start that is not finite.</exception>
    let create (options: JolaOptions) : Intervention =
        if options.Heads < 1 then
            invalidArg (nameof options) $"jola: expected 1 head or more, found {options.Heads}"

        if not (System.Double.IsFinite options.Start) then
            invalidArg (nameof options) $"jola: expected a finite start, found {options.Start}"

        let form =
            Form.Method(
                "jola",
                [ "heads", FormOption.Int options.Heads
                  if options.Start <> 0.0 then
                      "start", FormOption.Float options.Start ]
            )

        Intervention.create form (init options) (bind options)

    /// <summary>
    /// The expected number of gates that are not 0, of all that a spec has (two per head): a penalty for
    /// <c>Loss.withPenalty</c>. A scalar.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The parameters hold none.</exception>
    let expectedOpen (theta: Parameters) : Tensor =
        HardConcrete.expectedOpen Temperature "jola" [ "scale_gate"; "offset_gate" ] theta

    /// <summary>JoLA from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "jola" [ "heads"; "start" ]

        create
            { Heads = options |> FormOptions.required "jola" "heads"
              Start = options |> FormOptions.float "jola" "start" 0.0 }
