module Reft.Core.Tests.Interventions.LoreftTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests.TinyModel

let private identityError (columns: Tensor) =
    let r = columns.shape[1]

    (torch.mm (columns.t (), columns) - torch.eye r).abs().max().item<float32>()
    |> float

let private draw seed (shape: int64 list) = Rng.normal shape (Rng.ofSeed seed)

let private shapes =
    [ for d, r in [ 4, 1; 4, 4; 16, 3; 64, 8; 128, 32 ] -> int64 d, int64 r ]

[<Tests>]
let tests =
    testList
        "LoReFT"
        [ test "the default map gives orthonormal columns" {
              scoped (fun () ->
                  for d, r in shapes do
                      for seed in 0L .. 4L do
                          let image = draw seed [ d; r ] |> Orthonormal.positiveQr
                          Expect.isLessThan (identityError image) 1e-5 $"{d}×{r}")
          }
          test "it leaves an orthonormal matrix as it is" {
              scoped (fun () ->
                  for d, r in shapes do
                      let fixedPoint = Orthonormal.random (int d) (int r) (Rng.ofSeed 5L)
                      Expect.isLessThan (relative (Orthonormal.positiveQr fixedPoint) fixedPoint) 2e-6 $"{d}×{r}")
          }
          test "it does not jump where a pivot crosses zero" {
              scoped (fun () ->
                  // The first pivot of LAPACK's QR changes sign with the first entry: its column would flip.
                  let at (x: float32) =
                      let free = draw 7L [ 8L; 3L ]
                      free[0L, 0L] <- x.ToTensor()
                      Orthonormal.positiveQr free

                  for step in [ 1e-2f; 1e-3f; 1e-4f ] do
                      Expect.isLessThan
                          (relative (at step) (at -step))
                          (4.0 * float step)
                          $"a step of {step} moves R by about as much")
          }
          test "a rank above the width, or none, is refused" {
              Native.load ()

              Expect.throwsC (fun () -> (Loreft.create (Loreft.options 9)).Init 8 (Rng.ofSeed 0L) |> ignore) (fun e ->
                  Expect.stringContains e.Message "1 … 8, found 9" "message")

              Expect.throws (fun () -> Loreft.create (Loreft.options 0) |> ignore) "rank 0"
          }
          test "its change is Rᵀ(W h + b − R h), with every activation" {
              scoped (fun () ->
                  for activation in Activation.all do
                      let what =
                          Loreft.create
                              { Loreft.options 3 with
                                  Activation = activation }

                      let theta = what.Init 8 (Rng.ofSeed 1L)
                      let h = draw 2L [ 5L; 8L ]
                      let r = (Orthonormal.qr.Apply theta).t()
                      let target = torch.mm (h, theta["weight"].t()) + theta["bias"] |> activation.Apply
                      let expected = h + torch.mm (target - torch.mm (h, r.t ()), r)
                      let found = Intervention.apply (Context.ofRows [||]) h (what.Bind theta)
                      Expect.isLessThan (relative found expected) 1e-6 activation.Name)
          }
          test "its gradient is that of finite differences" {
              scoped (fun () ->
                  for name in [ "linear"; "tanh" ] do
                      let what =
                          Loreft.create
                              { Loreft.options 2 with
                                  Activation = Activation.ofName name }

                      let theta = what.Init 6 (Rng.ofSeed 1L)
                      let h = draw 2L [ 3L; 6L ]

                      // In fp64, so that the differences are worth comparing with.
                      let f (v: Tensor) =
                          let bound = what.Bind((Parameters.map (fun t -> t.``to`` v.dtype) theta).OfVector v)
                          let out = Intervention.apply (Context.ofRows [||]) (h.``to`` v.dtype) bound
                          dsharp.sum (dsharp.square out)

                      let v = theta.Vector.``to`` torch.float64
                      Expect.isLessThan (relative (dsharp.grad f v) (dsharp.numgrad 1e-5 f v)) 1e-5 name)
          }
          test "R stays orthonormal over many optimizer steps" {
              scoped (fun () ->
                  let what = Loreft.create (Loreft.options 4)
                  let theta = what.Init 32 (Rng.ofSeed 1L)
                  let h, target = draw 2L [ 16L; 32L ], draw 3L [ 16L; 32L ]

                  let loss: Loss =
                      fun _ theta ->
                          let out = Intervention.apply (Context.ofRows [||]) h (what.Bind theta)
                          dsharp.mseLoss (out, target)

                  let batch = examples 1L 1 [ 4 ] |> Batch.create PaddingSide.Right

                  let final =
                      Seq.replicate 500 batch
                      |> Trainer.fit (Trainer.options 1e-2) loss (TrainState.create (Rng.ofSeed 0L) theta)

                  Expect.isLessThan (identityError (Orthonormal.qr.Apply final.Parameters)) 1e-5 "‖RRᵀ − I‖"
                  TrainState.dispose final)
          } ]
