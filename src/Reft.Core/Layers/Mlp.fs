namespace Reft.Core

/// <summary>The weights of a gated MLP.</summary>
[<NoEquality; NoComparison>]
type GatedMlpWeights =
    { Gate: Linear
      Up: Linear
      Down: Linear }

/// <summary>Multi-layer perceptrons.</summary>
[<RequireQualifiedAccess>]
module Mlp =

    /// <summary>
    /// down(act(gate x) ⊙ up x), tapped at its gate and at its inner activation (SwiGLU: Shazeer, arXiv 2002.05202). [batch, seq, hidden]
    /// </summary>
    let gated
        (activation: Activation)
        (weights: GatedMlpWeights)
        (tap: Component -> Tensor -> Tensor)
        (x: Tensor)
        : Tensor =
        Scope.run (fun () ->
            Scope.run (fun () ->
                (x |> Linear.apply weights.Gate |> activation.Apply |> tap Component.MlpGate)
                * (x |> Linear.apply weights.Up))
            |> tap Component.MlpActivation
            |> Linear.apply weights.Down)
