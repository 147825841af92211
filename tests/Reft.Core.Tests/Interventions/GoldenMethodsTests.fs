module Reft.Core.Tests.Interventions.GoldenMethodsTests

open System.IO
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests

let private cases =
    Directory.GetDirectories(Golden.path [ "b_interventions" ])
    |> Array.map (Path.GetFileName >> string)
    |> Array.filter ((<>) "orthogonal_param")
    |> Array.sort
    |> Array.toList

let private parameters (golden: Map<string, Tensor>) =
    PyreftModules.parameters
        (fun name -> golden.TryFind $"param.{name}")
        (golden.TryFind "buffer.rotate_layer.parametrizations.weight.0.base")

/// The intervention of a case, from the name of pyreft's class and its arguments.
let private intervention case =
    let readme =
        JsonValue.read 1_000_000 (Golden.path [ "b_interventions"; case; "README.json" ])

    let arguments = readme |> JsonValue.field "kwargs"

    PyreftModules.intervention
        Orthonormal.householder
        (arguments |> JsonValue.field "low_rank_dimension" |> JsonValue.int 1 4096)
        (readme |> JsonValue.field "cls" |> JsonValue.string)
        arguments

let private check case () =
    let golden = Golden.tensors [ "b_interventions"; case; "tensors.safetensors" ]
    let theta = parameters golden
    let what = intervention case
    let input = golden["input"]
    let width = input.shape[2]

    Expect.equal
        (List.sort (what.Init (int width) (Rng.ofSeed 0L)).Names)
        (List.sort theta.Names)
        "the parameters it draws are those of pyreft"

    let output (theta: Parameters) (input: Tensor) =
        Intervention.apply (Context.ofRows [||]) (input.reshape (-1L, width)) (what.Bind theta)
        |> fun rows -> rows.view input.shape

    let loss theta input =
        (output theta input * golden["loss_weight"]).sum()

    golden.TryFind "R"
    |> Option.iter (fun r -> Golden.expectClose 1e-5 r (Orthonormal.householder.Apply theta) "R")

    Golden.expectClose 1e-5 golden["output"] (output theta input) "output"

    // The loss is a sum whose terms nearly cancel: its error is measured against their sizes.
    let terms = (golden["output"] * golden["loss_weight"]).abs().sum().item<float32>()

    let difference =
        (golden["loss"].squeeze 0L - loss theta input).abs().item<float32>()

    Expect.isLessThan (float (difference / terms)) 1e-5 "loss"

    let gradient =
        dsharp.grad (fun v -> loss (theta.OfVector v) input) theta.Vector
        |> theta.OfVector

    for theirs, ours, _ in PyreftModules.names do
        match golden.TryFind $"grad.{theirs}" with
        | Some expected -> Golden.expectClose 1e-5 expected gradient[ours] $"∂ of {ours}"
        | None -> Expect.isNone (theta.TryFind ours) $"no gradient for {ours}"

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

    let d, r =
        let shape = (get "original").shape
        int shape[0], int shape[1]

    let fresh = (Orthonormal.householder.Init d r (Rng.ofSeed 1L))["rotation"]
    Expect.isTrue (Golden.same (get "init_original") fresh) "the free matrix at the start"

[<Tests>]
let tests =
    testList
        "Golden methods"
        [ for case in cases do
              testCase case (fun () -> TinyModel.scoped (check case))
          for index in 0..4 do
              testCase $"torch's orthonormal map {index}" (fun () -> TinyModel.scoped (checkMap index)) ]
