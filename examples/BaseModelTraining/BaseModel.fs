/// The shapes of the base models, their fresh weights, and their loss.
module BaseModelTraining.BaseModel

open TorchSharp
open Reft.Core

let private llama hidden layers heads intermediate : ModelConfig =
    { ModelConfig.llama with
        Hidden = hidden
        Layers = layers
        Heads = heads
        Intermediate = intermediate
        Vocabulary = 4096
        Context = 512
        NormEpsilon = 1e-5
        TiedHead = true
        BosId = Some 0
        EosIds = [ 1 ]
        PadId = Some 2 }

/// Name and shape: the model of this repository, and a larger one of the same make that shows what size changes.
let sizes: (string * ModelConfig) list =
    [ "3.8m", llama 256 4 { Heads = 4; KvHeads = 2; HeadDim = 64 } 640
      "8.6m", llama 320 6 { Heads = 5; KvHeads = 5; HeadDim = 64 } 832 ]

/// N(0, 0.02²), the layers' outputs divided by √(2 · layers) so that the residual stream does not grow with depth, as in
/// GPT-2; norms are 1 and never decayed.
let init (config: ModelConfig) (rng: Rng) : Parameters =
    Llama.tensors config
    |> List.mapi (fun i (name, shape) ->
        if name.Contains "norm" then
            Parameters.entry Role.Undecayed name (torch.ones (List.toArray shape))
        else
            let output = name.EndsWith "o_proj.weight" || name.EndsWith "down_proj.weight"

            let deviation =
                if output then
                    0.02 / sqrt (2.0 * float config.Layers)
                else
                    0.02

            Parameters.entry Role.Decayed name (Rng.normal shape (Rng.fork i rng) * float32 deviation))
    |> Parameters

/// Weights are kept in fp32 by the optimizer. A computation in bf16 rounds them first, which is faster on some processors
/// and slower on others.
let loss (config: ModelConfig) (computation: torch.ScalarType) : Loss =
    Loss.fullModel (fun theta ->
        let weights =
            if computation = torch.float32 then
                theta
            else
                theta |> Parameters.map (fun weight -> weight.``to`` computation)

        Llama.build config (fun name -> weights[name]))
