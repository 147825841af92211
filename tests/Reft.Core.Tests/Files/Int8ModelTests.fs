module Reft.Core.Tests.Files.Int8ModelTests

open System
open System.IO
open Expecto
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open TorchSharp

let private folderOf (name: string) =
    Golden.path [ "a_models"; name; "model" ]

let private loadInt8 (folder: string) =
    Checkpoint.loadWith
        { Checkpoint.defaults () with
            Weights = WeightFormat.Int8 }
        folder

let private isInt8 (tensor: Tensor) = tensor.dtype = torch.int8

/// The model as stored, with each matrix that the other keeps as int8 replaced by what its whole numbers stand for.
let private dequantised (stored: LoadedModel) (int8: LoadedModel) : Transformer =
    let find name =
        let weight = stored.Tensors[name]
        let quantised = int8.Tensors[name]

        if isInt8 quantised then
            // GPT-2 stores [in, out]; whole numbers are always [out, in].
            let transposed = stored.Config.Family = "gpt2"
            let matrix = if transposed then weight.t().contiguous() else weight
            let values, scale = matrix |> Int8.quantise weight.dtype
            Expect.isTrue (Golden.same values quantised) name
            let back = Int8.dequantise weight.dtype values scale
            if transposed then back.t().contiguous() else back
        else
            Expect.isTrue (Golden.same weight quantised) name
            weight

    (Families.ofConfig stored.Config).Build stored.Config (Weights.ofTensors find)

let private batch (model: Transformer) : Batch =
    [ for row in 0..1 ->
          let ids = Array.init 12 (fun i -> (37 * i + 11 * row + 5) % model.Config.Vocabulary)

          Example.ofCompletion ids[..7] ids[8..] ]
    |> Batch.create PaddingSide.Right

let private logits (model: Transformer) =
    let batch = batch model

    model
    |> Transformer.logits (Batch.context model batch) (Batch.ids model.Device batch)

let private spec (model: Transformer) =
    loreft 2 |> at (blockOutput [ 0 .. model.Config.Layers - 1 ]) (first 2 + last 2)

let private agrees name =
    Golden.inTemporaryFolder (fun _ ->
        use stored = Checkpoint.load (folderOf name)
        use int8 = loadInt8 (folderOf name)
        let model = dequantised stored int8
        Golden.expectClose 1e-5 (logits model) (logits int8.Model) "logits"

        // Not the model as stored: it was quantised at all.
        Expect.isGreaterThan (Golden.relativeError (logits stored.Model) (logits int8.Model)) 1e-4 "cost"

        let spec = spec model
        let theta = Reft.init spec model.Config (Rng.ofSeed 5L)

        // R = W at the start would leave little to differentiate.
        let moved =
            theta.OfVector(theta.Vector + 0.3f * Rng.normal [ theta.TrainableCount ] (Rng.ofSeed 6L))

        let gradient model =
            dsharp.grad (Loss.reft spec model (batch model) |> Loss.ofVector moved) moved.Vector

        Golden.expectClose 1e-5 (gradient model) (gradient int8.Model) "gradient")

/// The matrices of the blocks, and nothing else.
let private kept name =
    Golden.inTemporaryFolder (fun _ ->
        use stored = Checkpoint.load (folderOf name)
        use int8 = loadInt8 (folderOf name)
        Expect.equal int8.Weights WeightFormat.Int8 "format"

        for KeyValue(name, tensor) in stored.Tensors do
            let expected =
                tensor.shape.Length = 2
                && name.Split('.') |> Array.exists (Seq.forall Char.IsAsciiDigit)

            Expect.equal (isInt8 int8.Tensors[name]) expected name

        let numbers (loaded: LoadedModel) =
            loaded.Tensors.Values |> Seq.sumBy (fun tensor -> tensor.numel ())

        Expect.equal (numbers int8) (numbers stored) "numbers"
        Expect.isLessThan int8.WeightBytes stored.WeightBytes "bytes")

[<Tests>]
let tests =
    testList
        "Int8 models"
        [ for name in [ "llama"; "llama_bias_tied"; "phi3"; "gpt2"; "gpt_neox"; "gemma2" ] do
              test $"{name}: logits and LoReFT's gradient are those of the dequantised weights" { agrees name }
              test $"{name}: the matrices of the blocks are int8, embeddings, norms and heads are not" { kept name }

          test "an int8 model is the same base model" {
              Golden.inTemporaryFolder (fun folder ->
                  use stored = Checkpoint.load (folderOf "llama")
                  use int8 = loadInt8 (folderOf "llama")
                  Expect.equal int8.Fingerprint stored.Fingerprint "fingerprint"
                  let spec = spec int8.Model
                  let theta = Reft.init spec int8.Config (Rng.ofSeed 5L)
                  Adapter.save folder int8.Config int8.Fingerprint spec theta

                  use adapter =
                      Adapter.load Registry.standard (Some stored.Fingerprint) stored.Config folder

                  Expect.isTrue (Golden.same theta.Vector adapter.Parameters.Vector) "adapter")
          }

          test "int8 goes with any dtype to compute in" {
              Golden.inTemporaryFolder (fun _ ->
                  let load format =
                      Checkpoint.loadWith
                          { Checkpoint.defaults () with
                              Dtype = Some torch.bfloat16
                              Weights = format }
                          (folderOf "llama")

                  use stored = Checkpoint.load (folderOf "llama")
                  use short = load WeightFormat.AsStored
                  use int8 = load WeightFormat.Int8
                  Expect.equal int8.Model.Dtype torch.bfloat16 "dtype"

                  // The file's numbers are quantised, not those that bf16 has rounded already.
                  for KeyValue(name, values) in int8.Tensors do
                      if isInt8 values then
                          let expected, _ = stored.Tensors[name] |> Int8.quantise torch.bfloat16
                          Expect.isTrue (Golden.same expected values) name

                  let error (loaded: LoadedModel) =
                      Golden.relativeError (logits stored.Model) (logits loaded.Model)

                  // bf16 and int8 have about as many bits.
                  Expect.isLessThan (error int8) (3.0 * error short) "logits")
          }

          test "a LoRA adapter goes beside int8 matrices, or into them before they are quantised" {
              Golden.inTemporaryFolder (fun _ ->
                  let load format merge =
                      Checkpoint.loadWith
                          { Checkpoint.defaults () with
                              Weights = format
                              Lora =
                                  Some
                                      { Folder = Golden.path [ "d_e2e"; "lora_peft"; "adapter" ]
                                        Merge = merge } }
                          (folderOf "llama")

                  use plain = loadInt8 (folderOf "llama")
                  use stored = load WeightFormat.AsStored true
                  use merged = load WeightFormat.Int8 true
                  use beside = load WeightFormat.Int8 false
                  let mutable changed = 0

                  for KeyValue(name, values) in merged.Tensors do
                      if isInt8 values then
                          let expected, _ = stored.Tensors[name] |> Int8.quantise torch.float32
                          Expect.isTrue (Golden.same expected values) name
                          Expect.isTrue (Golden.same plain.Tensors[name] beside.Tensors[name]) name

                          if not (Golden.same plain.Tensors[name] values) then
                              changed <- changed + 1

                  Expect.isGreaterThan changed 0 "matrices that the adapter changes"
                  let reference = logits stored.Model
                  let without = Golden.relativeError reference (logits plain.Model)

                  for loaded in [ merged; beside ] do
                      Expect.isLessThan (Golden.relativeError reference (logits loaded.Model)) (without / 2.0) "logits")
          }

          test "training goes down, and leaves nothing behind" {
              Golden.inTemporaryFolder (fun _ ->
                  use int8 = loadInt8 (folderOf "llama")
                  let model = int8.Model
                  let spec = spec model
                  let rng = Rng.ofSeed 5L
                  let start = Reft.init spec model.Config rng |> TrainState.create rng
                  let batch = batch model
                  let loss = Loss.reft spec model
                  let options = Trainer.options 1e-2
                  let first = Trainer.evaluate loss start.Parameters [ batch ]
                  let mutable state = start
                  let mutable tensors = 0L

                  for step in 1..40 do
                      let struct (_, next) = Trainer.step options loss [| batch |] state
                      TrainState.dispose state
                      state <- next

                      if step = 10 then
                          tensors <- Golden.liveTensors ()

                  Expect.equal (Golden.liveTensors ()) tensors "live tensors"
                  let last = Trainer.evaluate loss state.Parameters [ batch ]
                  TrainState.dispose state
                  Expect.isLessThan last (first * 0.8) "loss")
          }

          test "whole numbers can be neither trained nor saved" {
              Golden.inTemporaryFolder (fun folder ->
                  use int8 = loadInt8 (folderOf "llama")
                  let tensors = [ for entry in int8.Tensors -> entry.Key, entry.Value ]

                  Golden.throwsWith<ArgumentException>
                      [ "q_proj"; "cannot be trained"; "Int8"; "as stored" ]
                      (fun () -> Parameters.ofSeq tensors |> ignore)

                  Golden.throwsWith<InvalidDataException> [ "q_proj"; "I8" ] (fun () ->
                      Checkpoint.save folder int8.Config tensors)

                  Expect.isFalse (File.Exists(Path.Combine(folder, "model.safetensors"))) "nothing is written")
          } ]
