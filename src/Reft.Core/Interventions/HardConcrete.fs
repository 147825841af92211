namespace Reft.Core

open TorchSharp

/// <summary>
/// Hard concrete gates: numbers in [0, 1] that are exactly 0 or 1 with positive probability, and differentiable in log α
/// (arXiv 1712.01312, section 2.2).
/// </summary>
module internal HardConcrete =

    /// The stretch limits γ and ζ of the paper.
    let private low, private high = -0.1f, 1.1f

    let private clipped (s: Tensor) =
        (s *. (high - low) +. low).clamp(held 0.0f, held 1.0f)

    /// Sampled where there is a random state, u ~ U(0, 1): clip(σ((log u − log(1 − u) + log α) / β)(ζ − γ) + γ);
    /// without one clip(σ(log α)(ζ − γ) + γ).
    let gate (temperature: float) (random: Rng option) (logAlpha: Tensor) : Tensor =
        match random with
        | None -> logAlpha.sigmoid () |> clipped
        | Some rng ->
            // The ends of the interval have infinite logits.
            let u =
                (Rng.uniform 1e-6 (1.0 - 1e-6) (List.ofArray logAlpha.shape) rng)
                    .``to``(logAlpha.dtype, logAlpha.device)

            ((u.log () - (-u +. 1.0f).log() .+ logAlpha) /. float32 temperature).sigmoid()
            |> clipped

    /// The probability that each is not 0: σ(log α − β log(−γ / ζ)).
    let probabilityOpen (temperature: float) (logAlpha: Tensor) : Tensor =
        (logAlpha -. float32 (temperature * log (float (-low / high)))).sigmoid()

    /// The expected number of open gates among the parameters whose names end with one of these.
    let expectedOpen (temperature: float) (method: string) (endings: string list) (theta: Parameters) : Tensor =
        let isGate (name: string) =
            endings
            |> List.exists (fun ending -> name = ending || name.EndsWith("." + ending, System.StringComparison.Ordinal))

        match
            [ for p in theta.Entries do
                  if isGate p.Name then
                      (probabilityOpen temperature p.Value).sum() ]
        with
        | [] ->
            let names = String.concat ", " theta.Names
            let expected = String.concat " or " endings

            invalidArg (nameof theta) $"expected parameters of {method}, whose names end with {expected}, found {names}"
        | sums -> sums |> List.reduce (fun a b -> a .+ b)
