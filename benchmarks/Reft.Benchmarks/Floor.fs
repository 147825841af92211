/// The matrix products of a training step and nothing else: what no implementation can beat on the same machine.
module Reft.Benchmarks.Floor

open System.Collections.Generic
open TorchSharp
open Reft.Core

/// The head is applied to so many rows at a time. Measured with a vocabulary of 32000: 64 rows are 30 % slower, 128 rows
/// 10 %, and all 1024 are no faster.
[<Literal>]
let private HeadRows = 256L

[<NoEquality; NoComparison>]
type Floor =
    {
        /// Every projection of every block. 2 · parameters · tokens operations.
        Forward: unit -> unit
        /// The gradients with respect to the inputs of the projections of every block but the first: the backward pass
        /// ends at the first intervention, which is the first block's output. No weight has a gradient.
        Backward: unit -> unit
        /// The same for the first block alone: for comparisons with a backward pass through all blocks.
        FirstBlockBackward: unit -> unit
        /// The head on a number of rows, forward and backward.
        Head: int -> unit -> unit
    }

/// Multiplies a batch of rows by every projection, using the model's own weights, so that each is read from memory as in a
/// step. Results go to buffers made once: the floor pays for no allocation.
let create (config: ModelConfig) (weights: IReadOnlyDictionary<string, Tensor>) (tokens: int) : Floor =
    let dtype = weights["model.norm.weight"].dtype
    let buffers = Dictionary<struct (string * int64 * int64), Tensor>()

    let buffer purpose rows columns =
        let key = struct (purpose, rows, columns)

        match buffers.TryGetValue key with
        | true, tensor -> tensor
        | _ ->
            let values =
                Scope.run (fun () -> (Rng.uniform -1.0 1.0 [ rows; columns ] (Rng.ofSeed 4L)).``to``(dtype).clone())

            buffers[key] <- values.DetachFromDisposeScope()
            buffers[key]

    let product (a: Tensor) (b: Tensor) =
        let result = buffer "result" a.shape[0] b.shape[1]
        result.addmm_ (a, b, beta = 0.0f, alpha = 1.0f) |> ignore

    let rows = int64 tokens

    let forward (weight: Tensor) =
        use transposed = weight.t ()
        product (buffer "input" rows weight.shape[1]) transposed

    let backward (weight: Tensor) =
        product (buffer "input" rows weight.shape[0]) weight

    let projections layer =
        [ "self_attn.q_proj"
          "self_attn.k_proj"
          "self_attn.v_proj"
          "self_attn.o_proj"
          "mlp.gate_proj"
          "mlp.up_proj"
          "mlp.down_proj" ]
        |> List.map (fun name -> weights[$"model.layers.{layer}.{name}.weight"])

    let quietly (run: unit -> unit) () =
        use _ = torch.no_grad ()
        run ()

    let head =
        if config.TiedHead then
            weights["model.embed_tokens.weight"]
        else
            weights["lm_head.weight"]

    { Forward = quietly (fun () -> [ 0 .. config.Layers - 1 ] |> List.iter (projections >> List.iter forward))
      Backward =
        quietly (fun () ->
            [ config.Layers - 1 .. -1 .. 1 ]
            |> List.iter (projections >> List.rev >> List.iter backward))
      FirstBlockBackward = quietly (fun () -> projections 0 |> List.rev |> List.iter backward)
      Head =
        fun scored ->
            quietly (fun () ->
                use transposed = head.t ()

                for start in 0L .. HeadRows .. int64 scored - 1L do
                    let count = min HeadRows (int64 scored - start)
                    product (buffer "input" count head.shape[1]) transposed
                    product (buffer "input" count head.shape[0]) head) }
