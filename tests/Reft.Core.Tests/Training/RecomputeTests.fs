module Reft.Core.Tests.Training.RecomputeTests

open System
open System.IO
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private rows = examples 6L 3 [ 9; 5; 7; 6 ]

let private noisy seed (batch: Batch) : Batch =
    { batch with
        Random = Some(Rng.ofSeed seed) }

let private batch = Batch.create PaddingSide.Left rows |> noisy 21L

let private specs: (string * ReftSpec) list =
    [ "groups with dropout", loreft 2 |> dropout 0.3 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
      "tied over layers", loreft 2 |> at (blockOutput [ 0; 1; 2 ]) all |> tied |> ReftSpec.sharedAs "one"
      "components",
      (loreft 2 |> at (query [ 0 ] @ attentionOutput [ 1 ]) all |> tied)
      @ (direftOrthonormal 2 |> dropoutOutput 0.2 |> at (mlpActivation [ 1 ]) (last 2))
      @ (noreft 2 |> at (blockInput [ 0 ]) (first 1))
      "only the last layer", loreft 2 |> at (blockOutput [ 2 ]) (last 1) ]

let private agrees what (plain: Loss) (recomputing: int -> Loss) theta batch =
    let value, gradient = TinyFamilies.valueAndGradient plain theta batch

    for every in 1..4 do
        let again, other = TinyFamilies.valueAndGradient (recomputing every) theta batch
        Expect.equal again value $"{what}: the loss, every {every}"
        Expect.isLessThan (relative other gradient) 1e-6 $"{what}: the gradient, every {every}"

/// The peak of resident memory above what there was, in kilobytes; nothing where the system does not say.
let private peakOf (body: unit -> unit) : int64 option =
    let number (key: string) =
        File.ReadAllLines "/proc/self/status"
        |> Array.pick (fun line ->
            if line.StartsWith key then
                Some(line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1] |> int64)
            else
                None)

    try
        // Resets the peak.
        File.WriteAllText("/proc/self/clear_refs", "5")
        let before = number "VmRSS:"
        body ()
        Some(number "VmHWM:" - before)
    with
    | :? IOException
    | :? UnauthorizedAccessException -> None

[<Tests>]
let tests =
    testList
        "Recompute"
        [ for family, config in TinyFamilies.decoders do
              test $"{config.Family}: loss and gradients are those of one pass" {
                  scoped (fun () ->
                      let model = TinyFamilies.create torch.float32 (family, config)

                      for name, spec in specs do
                          // Gemma 2 gates its MLP, and so has no single activation here; every family has block outputs.
                          let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                          let tuned = Tuned.reft spec model
                          agrees name (Loss.language tuned) (fun every -> Recompute.language every tuned) theta batch)
              }
          for family, config in TinyFamilies.encoders do
              test $"{config.Family}: labelled rows" {
                  scoped (fun () ->
                      let model = TinyFamilies.create torch.float32 (family, config)
                      let classifier = TinyFamilies.classifier (family, config)

                      let batch =
                          TinyFamilies.labelled config [ 9; 5; 7 ] |> Batch.create PaddingSide.Right

                      for spec in [ []; loreft 2 |> at (blockOutput [ 0; 1 ]) (first 1 + last 1) ] do
                          let theta =
                              Parameters.concat [ Reft.init spec config (Rng.ofSeed 2L); classifier.Parameters ]
                              |> TinyFamilies.moved

                          let tuned = Tuned.reft spec model

                          agrees
                              "sequence"
                              (Loss.sequence classifier tuned)
                              (fun every -> Recompute.sequence every classifier tuned)
                              theta
                              batch)
              }
          test "low-rank updates with interventions" {
              scoped (fun () ->
                  let weights = weights config 1L
                  let names = [ for layer in 0..2 -> $"model.layers.{layer}.self_attn.q_proj" ]

                  let lora =
                      names
                      |> List.mapi (fun i name ->
                          Parameters.ofSeq
                              [ $"{name}.down", Rng.normal [ 2L; 16L ] (Rng.ofSeed (int64 i)) * 0.2f
                                $"{name}.up", Rng.normal [ 16L; 2L ] (Rng.ofSeed (int64 i + 50L)) * 0.2f ])
                      |> Parameters.concat

                  let build (theta: Parameters) =
                      Weights.ofTensors (fun name -> weights[name])
                      |> Weights.withUpdates (fun name ->
                          match theta.TryFind $"{name}.down" with
                          | Some down ->
                              [ { Down = down
                                  Up = theta[$"{name}.up"]
                                  Scale = 2.0
                                  Input = None } ]
                          | None -> [])
                      |> Llama.family.Build config

                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (last 2)

                  let tuned = { Tuned.ofModel build with Spec = spec }

                  let theta = Parameters.concat [ lora; Reft.init spec config (Rng.ofSeed 2L) ]
                  agrees "lora" (Loss.language tuned) (fun every -> Recompute.language every tuned) theta batch)
          }
          test "all weights, the head tied to the embedding and not" {
              scoped (fun () ->
                  for tied in [ false; true ] do
                      let config = { config with TiedHead = tied }
                      let theta = weights config 1L

                      let tuned =
                          Tuned.ofModel (fun theta -> Llama.build config (fun name -> theta[name]))

                      agrees
                          $"tied {tied}"
                          (Loss.language tuned)
                          (fun every -> Recompute.language every tuned)
                          theta
                          batch)
          }
          test "a bf16 model: the same loss to the bit, and the same gradient" {
              scoped (fun () ->
                  let model = create torch.bfloat16 1L

                  for name, spec in specs do
                      let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                      let tuned = Tuned.reft spec model
                      agrees name (Loss.language tuned) (fun every -> Recompute.language every tuned) theta batch)
          }
          test "with a cache of frozen layers, on packed rows" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 1; 2 ]) (first 2 + last 2)
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved

                  use prefix =
                      FrozenPrefix.create
                          { MostBytes = 1_000_000L
                            Folder = None }
                          spec
                          model

                  let batch = Batch.pack 17 PaddingSide.Right rows

                  agrees
                      "both"
                      (Loss.reft spec model)
                      (fun every -> Recompute.language every (FrozenPrefix.tuned prefix))
                      theta
                      batch

                  Expect.isGreaterThan prefix.Reused 0L "reused")
          }
          test "without gradients it is the loss itself, and second derivatives are refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = snd specs[0]
                  let theta = Reft.init spec config (Rng.ofSeed 2L)
                  let tuned = Tuned.reft spec model
                  let recomputing = Recompute.language 1 tuned

                  Expect.equal
                      (Trainer.evaluate recomputing theta [ batch ])
                      (Trainer.evaluate (Loss.language tuned) theta [ batch ])
                      "evaluation"

                  let f = recomputing batch |> Loss.ofVector theta

                  Expect.throwsC
                      (fun () -> dsharp.hessianv f theta.Vector (torch.ones_like theta.Vector) |> ignore)
                      (fun e -> Expect.stringContains e.Message "first derivative only" "message")

                  Expect.throwsT<ArgumentException> (fun () -> Recompute.language 0 tuned |> ignore) "groups of none")
          }
          test "steps leave no tensor behind" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = snd specs[0]

                  let state =
                      Reft.init spec config (Rng.ofSeed 2L) |> TrainState.create (Rng.ofSeed 2L)

                  let loss = Recompute.language 1 (Tuned.reft spec model)

                  let after count state =
                      Seq.replicate count batch |> Trainer.fit (Trainer.options 1e-3) loss state

                  let warm = after 3 state
                  let tensors = Golden.liveTensors ()
                  let final = after 20 warm
                  TrainState.dispose warm
                  Expect.equal (Golden.liveTensors ()) tensors "live tensors"
                  TrainState.dispose final)
          }
          test "the activations of a deep model are not all there at once" {
              scoped (fun () ->
                  let deep =
                      { config with
                          Layers = 24
                          Hidden = 64
                          Heads = { Heads = 4; KvHeads = 4; HeadDim = 16 }
                          Intermediate = 128
                          Context = 512 }

                  let model = TinyModel.weights deep 1L |> ofWeights torch.float32 deep
                  let spec = loreft 2 |> at (blockOutput [ 0..23 ]) (last 2)
                  let theta = Reft.init spec deep (Rng.ofSeed 2L)
                  let tuned = Tuned.reft spec model

                  let batch =
                      Batch.create
                          PaddingSide.Right
                          [ for i in 0..7 -> Example.ofCompletion (Array.create 250 (1 + i)) [| 3; 4; 5 |] ]

                  let run loss () =
                      use _ = torch.NewDisposeScope()
                      TinyFamilies.valueAndGradient loss theta batch |> ignore

                  // Code is compiled and the allocator warm before the peaks are compared.
                  run (Recompute.language 1 tuned) ()
                  let recomputing = peakOf (run (Recompute.language 1 tuned))
                  let plain = peakOf (run (Loss.language tuned))

                  match recomputing, plain with
                  | Some recomputing, Some plain ->
                      Expect.isGreaterThan plain (3L * max 1L recomputing) "kilobytes at the peak"
                  | _ -> skiptest "this system does not say how much memory a process had at most")
          } ]
