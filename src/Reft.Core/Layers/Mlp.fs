namespace Reft.Core

/// <summary>The maps that make the two inputs of a gated MLP.</summary>
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type GateAndUp =
    /// One map each.
    | Separate of gate: Linear * up: Linear
    /// One map whose rows are the gate's and then the up projection's, as in Phi-3.
    | Joined of Linear

/// <summary>The weights of a gated MLP.</summary>
[<NoEquality; NoComparison>]
type GatedMlpWeights = { GateAndUp: GateAndUp; Down: Linear }

/// <summary>The weights of an MLP of two maps.</summary>
[<NoEquality; NoComparison>]
type PlainMlpWeights = { Up: Linear; Down: Linear }

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
        let product gate up =
            (gate |> activation.Apply |> tap Component.MlpGate) * up

        Scope.run (fun () ->
            Scope.run (fun () ->
                match weights.GateAndUp with
                | GateAndUp.Separate(gate, up) -> product (x |> Linear.apply gate) (x |> Linear.apply up)
                | GateAndUp.Joined both ->
                    let joined = x |> Linear.apply both
                    let halves = joined.chunk (2L, -1L)
                    product halves[0] halves[1])
            |> tap Component.MlpActivation
            |> Linear.apply weights.Down)

    /// <summary>
    /// down(act(up x)), tapped at its inner activation, under the name of a gate too: without a gate they are the same. [batch, seq, hidden]
    /// </summary>
    let plain
        (activation: Activation)
        (weights: PlainMlpWeights)
        (tap: Component -> Tensor -> Tensor)
        (x: Tensor)
        : Tensor =
        Scope.run (fun () ->
            Scope.run (fun () -> x |> Linear.apply weights.Up |> activation.Apply)
            |> tap Component.MlpGate
            |> tap Component.MlpActivation
            |> Linear.apply weights.Down)
