/// The models that are measured, with random weights, and what they are given.
module Reft.Benchmarks.Subject

open System.Collections.Generic
open TorchSharp
open Reft.Core
open Reft.Core.Syntax

[<NoEquality; NoComparison>]
type Subject =
    { Name: string
      Config: ModelConfig
      Spec: ReftSpec }

let private llama: ModelConfig =
    { ModelConfig.llama with
        Hidden = 512
        Layers = 8
        Heads = { Heads = 8; KvHeads = 8; HeadDim = 64 }
        Intermediate = 1376
        Vocabulary = 32000 }

/// The configuration on which pyreft was measured: LoReFT of rank 4 at all layers, f2+l2, tied.
let pyreft () : Subject =
    { Name = "pyreft"
      Config = llama
      Spec =
        loreft 4
        |> at (blockOutput [ 0 .. llama.Layers - 1 ]) (first 2 + last 2)
        |> tied }

/// The shape of the small model of this repository, with the defaults of `reft train`: f7+l7, untied.
let small () : Subject =
    let config =
        { llama with
            Hidden = 256
            Layers = 4
            Heads = { Heads = 4; KvHeads = 2; HeadDim = 64 }
            Intermediate = 640
            Vocabulary = 4096
            Context = 512
            NormEpsilon = 1e-5
            TiedHead = true
            BosId = Some 0
            EosIds = [ 1 ] }

    { Name = "small"
      Config = config
      Spec = loreft 4 |> at (blockOutput [ 0 .. config.Layers - 1 ]) (first 7 + last 7) }

let ofName (name: string) : Subject =
    match name with
    | "small" -> small ()
    | _ -> pyreft ()

/// The exact shape of Llama-3.2-1B, with LoReFT of rank 4 at all layers, f7+l7.
let llama1B () : Subject =
    let config =
        { llama with
            Hidden = 2048
            Layers = 16
            Heads =
                { Heads = 32
                  KvHeads = 8
                  HeadDim = 64 }
            Intermediate = 8192
            Vocabulary = 128256
            Context = 131072
            NormEpsilon = 1e-5
            RopeTheta = 500000.0
            RopeScaling = RopeScaling.Llama3(32.0, 1.0, 4.0, 8192)
            TiedHead = true
            BosId = Some 128000
            EosIds = [ 128001; 128008; 128009 ] }

    { Name = "Llama-3.2-1B"
      Config = config
      Spec = loreft 4 |> at (blockOutput [ 0 .. config.Layers - 1 ]) (first 7 + last 7) }

/// The exact shape of Llama-2-7B, with LoReFT of rank 8 at all layers, f7+l7, tied.
let llama7B () : Subject =
    let config =
        { llama with
            Hidden = 4096
            Layers = 32
            Heads =
                { Heads = 32
                  KvHeads = 32
                  HeadDim = 128 }
            Intermediate = 11008
            Context = 4096
            NormEpsilon = 1e-5 }

    { Name = "Llama-2-7B"
      Config = config
      Spec =
        loreft 8
        |> at (blockOutput [ 0 .. config.Layers - 1 ]) (first 7 + last 7)
        |> tied }

let parameterCount (config: ModelConfig) : int64 =
    Llama.tensors config |> List.sumBy (snd >> List.fold (*) 1L)

/// Operations of the projections of one block for one token, forward: 2 per weight.
let blockOperations (config: ModelConfig) : float =
    let hidden, inner = float config.Hidden, float config.Intermediate
    let query = float (config.Heads.Heads * config.Heads.HeadDim)
    let kv = float (config.Heads.KvHeads * config.Heads.HeadDim)
    2.0 * (2.0 * hidden * query + 2.0 * hidden * kv + 3.0 * hidden * inner)

/// Random weights by name; they belong to no scope and live as long as the process.
let weights (dtype: torch.ScalarType) (config: ModelConfig) : IReadOnlyDictionary<string, Tensor> =
    let rng = Rng.ofSeed 1L
    let weights = Dictionary<string, Tensor>()

    Llama.tensors config
    |> List.iteri (fun i (name, shape) ->
        use _ = torch.NewDisposeScope()

        let value =
            if name.Contains "norm" then
                torch.ones (List.toArray shape, dtype = torch.float32)
            else
                (Rng.normal shape (Rng.fork i rng)).mul_(0.02f.ToScalar())

        weights[name] <- value.``to``(dtype).DetachFromDisposeScope())

    weights

let private ids (config: ModelConfig) count index =
    let mutable rng = Rng.ofSeed 2L |> Rng.fork index

    Array.init count (fun _ ->
        let struct (id, next) = Rng.below config.Vocabulary rng
        rng <- next
        id)

/// Rows of random tokens. Everything after the prompt is scored, or everything but the first token.
let batch (config: ModelConfig) (rows: int) (length: int) (prompt: int) (scoreAll: bool) : Batch =
    [ for row in 0 .. rows - 1 ->
          let ids = ids config length row
          let firstScored = if scoreAll then 1 else prompt

          { Example.ofText ids with
              Labels = ids |> Array.mapi (fun i id -> if i < firstScored then Example.Ignored else id)
              Prompt = prompt } ]
    |> Batch.create PaddingSide.Right

/// Random prompts of one length.
let prompts (config: ModelConfig) (rows: int) (length: int) : int[] list =
    [ for row in 0 .. rows - 1 -> ids config length (1000 + row) ]

/// A training step that starts from the same state each time.
let step (loss: Loss) (state: TrainState) (batch: Batch) : unit -> unit =
    let options = Trainer.options 1e-4

    fun () ->
        let struct (_, next) = Trainer.step options loss [| batch |] state
        TrainState.dispose next

/// A training state at fresh parameters of a spec.
let fresh (spec: ReftSpec) (config: ModelConfig) : TrainState =
    let rng = Rng.ofSeed 3L
    Reft.init spec config rng |> TrainState.create rng
