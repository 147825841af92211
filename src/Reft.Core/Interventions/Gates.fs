namespace Reft.Core

open TorchSharp

/// <summary>
/// Factors for <c>Intervention.gate</c>, one for each row, [n, 1]. They are no edits by themselves: as such their shape is
/// refused.
/// </summary>
/// <remarks>
/// <para>
/// <c>scalar</c>: one learnt number g. Begun at 0, whatever it gates begins at Δ = 0 (ReZero, arXiv 2003.04887): the way to
/// an identity start for methods that have none.
/// </para>
/// <para><c>sigmoid</c>: σ(w·h + b): how much of the edit each row gets.</para>
/// <para>
/// <c>hardConcrete</c>: one hard concrete gate (arXiv 1712.01312), which a penalty on <c>expectedOpen</c> closes to exactly
/// 0 where the edit does not pay: for choosing sites.
/// </para>
/// </remarks>
[<RequireQualifiedAccess>]
module Gates =

    let private rows (h: Tensor) (factor: Tensor) =
        factor.view(1L, 1L).expand(h.shape[0], 1L)

    let private startOf name (start: float) =
        if not (System.Double.IsFinite start) then
            invalidArg (nameof start) $"{name}: expected a finite start, found {start}"

        [ if start <> 0.0 then
              "start", FormOption.Float start ]

    let private one (start: float) =
        torch.full (1L, held start, dtype = torch.float32)

    /// <summary>One learnt number, which begins at <paramref name="start"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The start is not finite.</exception>
    let scalar (start: float) : Intervention =
        Intervention.create
            (Form.Method("scalar_gate", startOf "scalar_gate" start))
            (fun _ _ -> Parameters.ofSeq [ "factor", one start ])
            (fun theta ->
                let factor = theta["factor"]
                Edit.Delta(fun _ h -> rows h factor))

    /// <summary>σ(w·h + b), with w as torch.nn.Linear has it and b = 0 at the start: about one half.</summary>
    let sigmoid: Intervention =
        Intervention.create
            (Form.Method("sigmoid_gate", []))
            (fun width rng ->
                Parameters
                    [ Parameters.entry Role.Decayed "weight" (Start.linear width [ int64 width ] rng)
                      Parameters.entry Role.Undecayed "bias" (one 0.0) ])
            (fun theta ->
                let weight, bias = theta["weight"].unsqueeze 0L, theta["bias"] // [1, d], [1]
                Edit.Delta(fun _ h -> torch.nn.functional.linear(h, weight, bias).sigmoid()))

    /// The temperature β of Louizos et al.
    [<Literal>]
    let private Temperature = 0.66666666666666663

    /// <summary>
    /// One hard concrete gate, sampled in training, with log α = <paramref name="start"/> at the beginning: 0 is half open,
    /// 2.2 and more fully open outside training.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The start is not finite.</exception>
    let hardConcrete (start: float) : Intervention =
        Intervention.create
            (Form.Method("hard_concrete_gate", startOf "hard_concrete_gate" start))
            (fun _ _ -> Parameters.ofSeq [ "log_alpha", one start ])
            (fun theta ->
                let logAlpha = theta["log_alpha"]
                Edit.Delta(fun context h -> HardConcrete.gate Temperature context.Random logAlpha |> rows h))

    /// <summary>
    /// The expected number of <c>hardConcrete</c> gates that are not 0, of all that a spec has: a penalty for
    /// <c>Loss.withPenalty</c>. A scalar.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The parameters hold none.</exception>
    let expectedOpen (theta: Parameters) : Tensor =
        HardConcrete.expectedOpen Temperature "hard_concrete_gate" [ "log_alpha" ] theta

    /// <summary><c>scalar</c> from the options that its form holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let scalarOfForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "scalar_gate" [ "start" ]
        scalar (options |> FormOptions.float "scalar_gate" "start" 0.0)

    /// <summary><c>sigmoid</c> from the options that its form holds: none.</summary>
    /// <exception cref="T:System.ArgumentException">An option is given.</exception>
    let sigmoidOfForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "sigmoid_gate" []
        sigmoid

    /// <summary><c>hardConcrete</c> from the options that its form holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let hardConcreteOfForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "hard_concrete_gate" [ "start" ]
        hardConcrete (options |> FormOptions.float "hard_concrete_gate" "start" 0.0)
