namespace Reft.Core

open TorchSharp

/// <summary>
/// Everything that training carries from one step to the next. A state owns its tensors: dispose it with
/// <see cref="M:Reft.Core.TrainStateModule.dispose"/>.
/// </summary>
[<NoEquality; NoComparison>]
type TrainState =
    {
        /// Names, shapes, roles and constants of the parameters; their trainable values are in <c>Theta</c>.
        Layout: Parameters
        /// The trainable parameters, one flat fp32 vector.
        Theta: Tensor
        /// The optimizer's moments.
        Moments: Moments
        /// Optimizer steps taken.
        Step: int
        /// The random stream that training draws from.
        Rng: Rng
    }

    /// <summary>The parameters: views of <c>Theta</c>, valid while the state is.</summary>
    member state.Parameters: Parameters = state.Layout.OfVector state.Theta

/// <summary>Making, copying and freeing training states.</summary>
[<RequireQualifiedAccess>]
module TrainState =

    let private detached (tensor: Tensor) = tensor.DetachFromDisposeScope()

    /// <summary>The state before the first step. <paramref name="parameters"/> must live as long as the state does.</summary>
    let create (rng: Rng) (parameters: Parameters) : TrainState =
        let theta = parameters.Vector |> detached
        let moments = AdamW.zero theta

        { Layout = parameters
          Theta = theta
          Moments =
            { First = detached moments.First
              Second = detached moments.Second }
          Step = 0
          Rng = rng }

    /// <summary>A copy that outlives the original.</summary>
    let copy (state: TrainState) : TrainState =
        { state with
            Theta = state.Theta.clone () |> detached
            Moments =
                { First = state.Moments.First.clone () |> detached
                  Second = state.Moments.Second.clone () |> detached } }

    /// <summary>
    /// The next state in the place of an earlier one, which is used up: the numbers are copied into its tensors, and those of the
    /// next are freed. A run that replaces its state so holds the same memory from the first step to the last: blocks that were
    /// new in each step would leave holes in the C library's heap.
    /// </summary>
    let replace (next: TrainState) (earlier: TrainState) : TrainState =
        use _ = torch.no_grad ()

        for into, from in
            [ earlier.Theta, next.Theta
              earlier.Moments.First, next.Moments.First
              earlier.Moments.Second, next.Moments.Second ] do
            into.copy_ from |> ignore
            from.Dispose()

        { next with
            Theta = earlier.Theta
            Moments = earlier.Moments }

    /// <summary>Frees the vector and the moments; the layout stays.</summary>
    let dispose (state: TrainState) : unit =
        state.Theta.Dispose()
        state.Moments.First.Dispose()
        state.Moments.Second.Dispose()
