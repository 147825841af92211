/// A random Llama small enough for properties, and shorthands around it.
module Reft.Core.Tests.TinyModel

open TorchSharp
open Reft.Core

let config: ModelConfig =
    { ModelConfig.llama with
        Hidden = 16
        Layers = 3
        Heads = { Heads = 4; KvHeads = 2; HeadDim = 4 }
        Intermediate = 24
        Vocabulary = 40
        Context = 64
        NormEpsilon = 1e-5
        AttentionBias = true
        PadId = Some 0 }

/// Every weight of a shape, drawn from a seed.
let weights (config: ModelConfig) (seed: int64) : Parameters =
    Native.load ()

    Llama.tensors config
    |> List.mapi (fun i (name, shape) ->
        let draw = Rng.normal shape (Rng.fork i (Rng.ofSeed seed))

        name,
        if name.Contains "norm" then
            1.0f + draw * 0.1f
        else
            draw * 0.3f)
    |> Parameters.ofSeq

let ofWeights (dtype: torch.ScalarType) (config: ModelConfig) (theta: Parameters) : Transformer =
    Llama.build config (fun name -> theta[name].``to`` dtype)

let create (dtype: torch.ScalarType) (seed: int64) : Transformer =
    weights config seed |> ofWeights dtype config

/// Rows of random ids of the given lengths; each whole row but `scored` tokens at its end is the prompt.
let examples (seed: int64) (scored: int) (lengths: int list) : Example list =
    lengths
    |> List.mapi (fun i length ->
        let ids =
            Rng.permutation (config.Vocabulary - 1) (Rng.fork i (Rng.ofSeed seed))
            |> Array.map ((+) 1) // 0 is padding
            |> Array.truncate length

        Example.ofCompletion ids[.. length - scored - 1] ids[length - scored ..])

/// ‖a − b‖ / ‖b‖.
let relative (a: Tensor) (b: Tensor) : float =
    let wide (t: Tensor) = t.detach().``to`` torch.float64
    let difference = (wide a - wide b).norm().item<float>()
    difference / max 1e-30 (wide(b).norm().item<float>())

/// A scope for the body of a property.
let scope () : System.IDisposable =
    Native.load ()
    torch.NewDisposeScope()

/// Runs a test body in a scope of its own.
let scoped (body: unit -> unit) : unit =
    Native.load ()
    use _ = torch.NewDisposeScope()
    body ()
