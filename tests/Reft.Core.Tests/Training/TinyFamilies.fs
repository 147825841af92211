/// Random models of several families, small enough for comparisons of whole training steps.
module Reft.Core.Tests.Training.TinyFamilies

open TorchSharp
open Reft.Core
open Reft.Core.Tests

let private sized layers =
    { TinyModel.config with
        Layers = layers
        Heads = { Heads = 4; KvHeads = 4; HeadDim = 4 }
        MlpBias = true }

let private bidirectional = List.replicate 3 AttentionPattern.Bidirectional

/// Decoders with every kind of position and mask.
let decoders: (Family * ModelConfig) list =
    [ Llama.family, TinyModel.config
      Mistral.family,
      { TinyModel.config with
          Family = "mistral"
          Patterns = List.replicate 3 (AttentionPattern.Sliding 4) }
      Gpt2.family,
      { sized 3 with
          Family = "gpt2"
          TiedHead = true
          Activation = "gelu_new" }
      GptNeoX.family,
      { sized 3 with
          Family = "gpt_neox"
          RotaryShare = 0.5
          ParallelResidual = true
          Activation = "gelu" }
      Gemma2.family,
      { TinyModel.config with
          Family = "gemma2"
          Patterns =
              [ AttentionPattern.Sliding 4
                AttentionPattern.Causal
                AttentionPattern.Sliding 4 ]
          AttentionSoftcap = Some 20.0
          LogitSoftcap = Some 10.0
          TiedHead = true
          AttentionBias = false
          Activation = "gelu_pytorch_tanh" } ]

/// Encoders, whose tokens see both sides.
let encoders: (Family * ModelConfig) list =
    [ Bert.family,
      { sized 3 with
          Family = "bert"
          Patterns = bidirectional
          SegmentTypes = 2
          Head = CheckpointHead.Bare
          Activation = "gelu" }
      Roberta.family,
      { sized 3 with
          Family = "roberta"
          Patterns = bidirectional
          SegmentTypes = 1
          PadId = Some 1
          Head = CheckpointHead.Bare
          Activation = "gelu" } ]

/// Every weight, drawn from a seed.
let weights (family: Family, config: ModelConfig) (seed: int64) : Parameters =
    Native.load ()

    family.Tensors config
    |> List.mapi (fun i (name, shape) ->
        let draw = Rng.normal shape (Rng.fork i (Rng.ofSeed seed))
        let isNorm = name.Contains "norm" || name.Contains "Norm" || name.Contains ".ln_"

        name,
        if isNorm && name.EndsWith "weight" then
            1.0f + draw * 0.1f
        else
            draw * 0.2f)
    |> Parameters.ofSeq

let ofWeights (dtype: torch.ScalarType) (family: Family, config: ModelConfig) (theta: Parameters) : Transformer =
    family.Build config (Weights.ofTensors (fun name -> theta[name].``to`` dtype))

let create (dtype: torch.ScalarType) (member': Family * ModelConfig) : Transformer =
    weights member' 3L |> ofWeights dtype member'

let private rowIds seed length =
    Rng.permutation (TinyModel.config.Vocabulary - 1) (Rng.ofSeed seed)
    |> Array.map ((+) 1)
    |> Array.truncate length

/// Labelled rows of the given lengths, of two segments where the model has so many.
let labelled (config: ModelConfig) (lengths: int list) : Example list =
    lengths
    |> List.mapi (fun i length ->
        let segments =
            if config.SegmentTypes = 2 then
                Array.init length (fun token -> if token < length / 2 then 0 else 1)
            else
                [||]

        rowIds (int64 (100 + i)) length
        |> Example.ofRow segments (Some(RowTarget.Label(i % 3))))

let three =
    SequenceTask.create SequenceProblem.SingleLabel [ "red"; "green"; "blue" ]

/// A fresh head of a family's kind, trained whole.
let classifier (family: Family, config: ModelConfig) : Classifier =
    Classifier.create HeadTraining.Whole three config.Hidden family.SequenceHead (fun _ -> None) (Rng.ofSeed 9L)

/// The value of a loss of one batch and its gradient by the flat vector, as training takes them.
let valueAndGradient (loss: Loss) (theta: Parameters) (batch: Batch) : float32 * Tensor =
    let leaf = Autograd.variable theta.Vector
    let value = loss batch (theta.OfVector leaf)
    value.item<float32>(), Autograd.gradients value [ leaf ] |> List.head

/// Away from the start, where many methods change nothing.
let moved (theta: Parameters) : Parameters =
    theta.OfVector(theta.Vector + Rng.normal [ theta.TrainableCount ] (Rng.ofSeed 77L) * 0.1f)
