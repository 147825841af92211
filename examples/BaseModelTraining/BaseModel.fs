/// The shape of the base model, its fresh weights, and its loss.
module BaseModelTraining.BaseModel

open TorchSharp
open Reft.Core

let config: ModelConfig =
    { ModelConfig.llama with
        Hidden = 256
        Layers = 4
        Heads = { Heads = 4; KvHeads = 2; HeadDim = 64 }
        Intermediate = 640
        Vocabulary = 4096
        Context = 512
        NormEpsilon = 1e-5
        TiedHead = true
        BosId = Some 0
        EosIds = [ 1 ]
        PadId = Some 2 }

/// N(0, 0.02²), the layers' outputs divided by √(2 · layers) so that the residual stream does not grow with depth, as in
/// GPT-2; norms are 1 and never decayed.
let init (rng: Rng) : Parameters =
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

/// Weights are kept in fp32 by the optimizer and rounded to bf16 for the computation.
let loss: Loss =
    Loss.fullModel (fun theta ->
        let rounded = theta |> Parameters.map (fun weight -> weight.``to`` torch.bfloat16)
        Llama.build config (fun name -> rounded[name]))
