module Reft.Core.Tests.Interventions.PyreftMethodsTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private width = 8

let private draw seed (shape: int64 list) = Rng.normal shape (Rng.ofSeed seed)

let private change (what: Intervention) (theta: Parameters) (h: Tensor) =
    match what.Bind theta with
    | Edit.Delta f -> f (Context.ofRows [||]) h
    | Edit.Replace f -> f (Context.ofRows [||]) h - h

let private ofForm name options =
    Registry.intervention Registry.standard (Form.Method(name, ("rank", FormOption.Int 3) :: options))

let private text key value = key, FormOption.Text value

let private identity = text "start" "identity"

let private methods =
    [ "loreft"
      "noreft"
      "consreft"
      "lobireft"
      "direft_orthonormal"
      "direft_paper" ]

/// Each method as its formula says, from its parameters alone, without any fusing. Rows h [n, d].
let private formula name (activation: Activation) (theta: Parameters) (h: Tensor) =
    let times (a: Tensor) (b: Tensor) = torch.mm (a, b.t ())
    let act = activation.Apply
    let r = lazy (Orthonormal.qr.Apply theta).t() // [r, d]

    let target () =
        act (times h theta["weight"] + theta["bias"])

    let up (rows: Tensor) (inner: Tensor) = torch.mm (inner, rows)

    match name with
    | "loreft" -> up r.Value (target () - times h r.Value)
    | "consreft" -> up r.Value (theta["source"] - times h r.Value)
    | "lobireft" -> up r.Value (theta["source"].expand(h.shape[0], -1L))
    | "direft_orthonormal" -> up r.Value (target ())
    | "direft_paper" -> up theta["projection"] (target ())
    | _ ->
        let shift =
            theta.TryFind "projection_bias"
            |> Option.defaultValue (torch.zeros_like theta["bias"])

        up theta["projection"] (target () - times h theta["projection"] - shift)

let private variants =
    [ for name in methods do
          name, []

          if name <> "consreft" && name <> "lobireft" then
              for activation in [ "gelu"; "relu"; "sigmoid" ] do
                  name, [ text "activation" activation ]

          if name = "noreft" || name = "direft_paper" then
              name, [ "bias", FormOption.Flag true ]
              name, [ text "activation" "tanh"; "bias", FormOption.Flag true ] ]

let private activationOf options =
    FormOptions.text "test" "activation" "linear" options |> Activation.ofName

/// One placement of a method and a loss on its rows alone, as quick as optimizer steps can be.
let private rowsLoss (what: Intervention) (name: string) =
    let h, target = draw 2L [ 16L; 16L ], draw 3L [ 16L; 16L ]

    let loss: Loss =
        fun _ theta ->
            let out = Intervention.apply (Context.ofRows [||]) h (what.Bind(theta.Sub name))
            dsharp.mseLoss (out, target)

    loss

let private identityError (columns: Tensor) =
    let error =
        (torch.mm (columns.t (), columns) - torch.eye columns.shape[1]).norm().item<float32>()

    float error

[<Tests>]
let tests =
    testList
        "Methods of pyreft"
        [ test "each is its formula, fused or not" {
              scoped (fun () ->
                  for name, options in variants do
                      let what = ofForm name options
                      let theta = what.Init width (Rng.ofSeed 1L)
                      let h = draw 2L [ 5L; int64 width ]
                      let expected = formula name (activationOf options) theta h
                      Expect.isLessThan (relative (change what theta h) expected) 2e-6 (string what.Form))
          }
          test "a form gives back each, and an unknown option is refused" {
              for name, options in variants do
                  let what = ofForm name options
                  Expect.equal (Registry.intervention Registry.standard what.Form).Form what.Form (string what.Form)

              for name in methods do
                  Golden.throwsWith<System.ArgumentException> [ name; "'dropuot'" ] (fun () ->
                      ofForm name [ text "dropuot" "1" ] |> ignore)
          }
          test "the parts of a partition of the latent rows add up to the whole" {
              scoped (fun () ->
                  for name, options in variants do
                      let what = ofForm name options
                      let theta = what.Init width (Rng.ofSeed 1L)
                      let h = draw 2L [ 5L; int64 width ]
                      let part rows = change (onSubspace rows what) theta h

                      Expect.isLessThan
                          (relative (part [ 2; 0 ] + part [ 1 ]) (change what theta h))
                          2e-6
                          (string what.Form)

                      Golden.throwsWith<System.ArgumentException> [ "0 … 2" ] (fun () -> part [ 3 ] |> ignore))
          }
          test "the identity start changes nothing, and learns" {
              scoped (fun () ->
                  for name, options in
                      [ "loreft", []
                        "loreft", [ text "orthonormal" "householder" ]
                        "noreft", []
                        "noreft", [ "bias", FormOption.Flag true ]
                        "lobireft", []
                        "direft_orthonormal", []
                        "direft_orthonormal", [ text "activation" "tanh" ]
                        "direft_paper", []
                        "direft_paper", [ text "activation" "silu"; "bias", FormOption.Flag true ] ] do
                      let what = ofForm name (options @ [ identity ])
                      let theta = what.Init width (Rng.ofSeed 1L)
                      let h = draw 2L [ 5L; int64 width ]
                      let found = Intervention.apply (Context.ofRows [||]) h (what.Bind theta)
                      Expect.isTrue (Golden.same h found) $"{what.Form}: h′ = h, to the last bit"

                      let slope =
                          dsharp.grad (fun v -> (change what (theta.OfVector v) h * h).sum()) theta.Vector

                      Expect.isGreaterThan (slope.norm().item<float32>()) 1e-3f $"{what.Form}: it has a gradient"

                      Expect.equal
                          (Registry.intervention Registry.standard what.Form).Form
                          what.Form
                          "the start is part of the form")
          }
          test "where the identity start is impossible it is refused with the way out" {
              for name, options in
                  [ "loreft", [ text "activation" "relu" ]
                    "noreft", [ text "activation" "gelu" ]
                    "consreft", []
                    "direft_paper", [ text "activation" "sigmoid" ]
                    "direft_orthonormal", [ text "activation" "relu" ] ] do
                  Golden.throwsWith<System.ArgumentException> [ "scalar gate that starts at 0" ] (fun () ->
                      ofForm name (options @ [ identity ]) |> ignore)
          }
          test "names that the paper and pyreft use for different methods are refused, naming both" {
              Golden.throwsWith<System.ArgumentException>
                  [ "ambiguous"; "direft_paper"; "direft_orthonormal" ]
                  (fun () -> ofForm "direft" [] |> ignore)

              Golden.throwsWith<System.ArgumentException> [ "direft_paper" ] (fun () -> ofForm "nodireft" [] |> ignore)
          }
          test "a rank above the width, or none, is refused" {
              scoped (fun () ->
                  for name in methods do
                      Golden.throwsWith<System.ArgumentException> [ "1 … 2, found 3" ] (fun () ->
                          (ofForm name []).Init 2 (Rng.ofSeed 0L) |> ignore)

                      Golden.throwsWith<System.ArgumentException> [ "1 or more, found 0" ] (fun () ->
                          Registry.intervention Registry.standard (Form.Method(name, [ "rank", FormOption.Int 0 ]))
                          |> ignore))
          }
          test "weight decay shrinks the free linear maps and nothing else" {
              scoped (fun () ->
                  for name, options in variants do
                      for p in ((ofForm name options).Init width (Rng.ofSeed 1L)).Entries do
                          Expect.equal
                              p.Role
                              (if p.Name = "weight" || p.Name = "projection" then
                                   Role.Decayed
                               else
                                   Role.Undecayed)
                              $"{name}: {p.Name}")
          }
          test "the words of the syntax are the methods" {
              for what, name in
                  [ loreft 2, "loreft"
                    noreft 2, "noreft"
                    consreft 2, "consreft"
                    lobireft 2, "lobireft"
                    direftPaper 2, "direft_paper"
                    direftOrthonormal 2, "direft_orthonormal" ] do
                  Expect.equal what.Form (Form.Method(name, [ "rank", FormOption.Int 2 ])) name
          }
          test "R is orthonormal after 10,000 steps of AdamW in fp32, saved and resumed on the way" {
              scoped (fun () ->
                  let site = "layers.0.block_output"
                  let what = loreft 4
                  let spec = what |> at (blockOutput [ 0 ]) (first 2)
                  let loss = rowsLoss what site
                  let batch = examples 1L 1 [ 4 ] |> Batch.create PaddingSide.Right

                  let error (theta: Parameters) =
                      Orthonormal.qr.Apply(theta.Sub site) |> identityError

                  let train (theta: Parameters) =
                      Seq.replicate 5_000 batch
                      |> Trainer.fit (Trainer.options 1e-2) loss (TrainState.create (Rng.ofSeed 0L) theta)

                  Golden.inTemporaryFolder (fun folder ->
                      let half = Reft.init spec config (Rng.ofSeed 1L) |> train
                      Adapter.save folder config "sha256:base" spec half.Parameters
                      use loaded = Adapter.load Registry.standard (Some "sha256:base") config folder
                      Expect.isLessThan (error loaded.Parameters) 1e-5 "after 5,000 steps and a save"
                      let final = train loaded.Parameters
                      Expect.isLessThan (error final.Parameters) 1e-5 "after 10,000 steps"
                      TrainState.dispose half
                      TrainState.dispose final))
          } ]
