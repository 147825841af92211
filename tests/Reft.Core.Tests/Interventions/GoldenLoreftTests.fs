module Reft.Core.Tests.Interventions.GoldenLoreftTests

open System.IO
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests

let private cases =
    Directory.GetDirectories(Golden.path [ "b_interventions" ], "loreft_*")
    |> Array.map (Path.GetFileName >> string)
    |> Array.sort
    |> Array.toList

/// pyreft's parameters under our names: the free matrix, torch's constant base, W and b.
let private parameters (golden: Map<string, Tensor>) =
    Parameters
        [ Parameters.entry Role.Undecayed "rotation" golden["param.rotate_layer.parametrizations.weight.original"]
          Parameters.entry Role.Constant "base" golden["buffer.rotate_layer.parametrizations.weight.0.base"]
          Parameters.entry Role.Decayed "weight" golden["param.learned_source.weight"]
          Parameters.entry Role.Undecayed "bias" golden["param.learned_source.bias"] ]

let private activationOf case =
    let readme =
        JsonValue.read 1_000_000 (Golden.path [ "b_interventions"; case; "README.json" ])

    match readme |> JsonValue.field "kwargs" |> JsonValue.tryField "act_fn" with
    | Some name -> JsonValue.string name
    | None -> "linear"

let private check case () =
    let golden = Golden.tensors [ "b_interventions"; case; "tensors.safetensors" ]
    let theta = parameters golden
    let input = golden["input"]
    let width = input.shape[2]

    let what =
        Loreft.create
            { Rank = int golden["R"].shape[1]
              Activation = Activation.ofName (activationOf case)
              Orthonormal = Orthonormal.householder }

    let output (theta: Parameters) (input: Tensor) =
        Intervention.apply (Context.ofRows [||]) (input.reshape (-1L, width)) (what.Bind theta)
        |> fun rows -> rows.view input.shape

    let loss theta input =
        (output theta input * golden["loss_weight"]).sum()

    Golden.expectClose 1e-5 golden["R"] (Orthonormal.householder.Apply theta) "R"
    Golden.expectClose 1e-5 golden["output"] (output theta input) "output"

    // The loss is a sum whose terms nearly cancel: its error is measured against their sizes.
    let terms = (golden["output"] * golden["loss_weight"]).abs().sum().item<float32>()

    let difference =
        (golden["loss"].squeeze 0L - loss theta input).abs().item<float32>()

    Expect.isLessThan (float (difference / terms)) 1e-5 "loss"

    let gradient =
        dsharp.grad (fun v -> loss (theta.OfVector v) input) theta.Vector
        |> theta.OfVector

    Golden.expectClose 1e-5 golden["grad.learned_source.weight"] gradient["weight"] "∂W"
    Golden.expectClose 1e-5 golden["grad.learned_source.bias"] gradient["bias"] "∂b"

    Golden.expectClose
        1e-5
        golden["grad.rotate_layer.parametrizations.weight.original"]
        gradient["rotation"]
        "∂ of the free matrix"

    Golden.expectClose 1e-5 golden["grad.input"] (dsharp.grad (fun h -> loss theta h) input) "∂h"

let private checkMap index () =
    let golden =
        Golden.tensors [ "b_interventions"; "orthogonal_param"; "tensors.safetensors" ]

    let get name = golden[$"{index}.{name}"]

    let map original =
        Orthonormal.householder.Apply(
            Parameters
                [ Parameters.entry Role.Undecayed "rotation" original
                  Parameters.entry Role.Constant "base" (get "base") ]
        )

    Golden.expectClose 1e-5 (get "R") (map (get "original")) "R"
    let gradient = dsharp.grad (fun x -> (map x * get "gR").sum()) (get "original")
    Golden.expectClose 1e-5 (get "grad_original") gradient "∂ of the free matrix"

[<Tests>]
let tests =
    testList
        "Golden LoReFT"
        [ for case in cases do
              testCase case (fun () -> TinyModel.scoped (check case))
          for index in 0..3 do
              testCase $"torch's orthonormal map {index}" (fun () -> TinyModel.scoped (checkMap index)) ]
