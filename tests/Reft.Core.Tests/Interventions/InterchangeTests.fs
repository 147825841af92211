module Reft.Core.Tests.Interventions.InterchangeTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Interventions.InterchangeFixture

[<Tests>]
let tests =
    testList
        "Interchange formulas"
        [ test "zero, interchange, addition, subtraction" {
              expectFormula (ZeroOut.create ()) (fun _ h _ -> torch.zeros_like h)
              expectFormula (Interchange.create "source") (fun _ _ s -> s)
              expectFormula (SourceAddition.add "source") (fun _ h s -> h + s)
              expectFormula (SourceAddition.subtract "source") (fun _ h s -> h - s)
          }
          test "noise has its level, repeats itself, and differs by seed and token" {
              scoped (fun () ->
                  let h = torch.zeros [| 4L; 4000L |]

                  let noise options rows =
                      Intervention.apply (Context.ofRows rows) h ((Noise.create options).Bind Parameters.empty)

                  let found = noise Noise.options rows
                  let std = float (found.std().item<float32>())
                  Expect.floatClose { absolute = 0.005; relative = 0.0 } std 0.1346 "pyvene's level"
                  Expect.isTrue (Golden.same found (noise Noise.options rows)) "the same again"
                  // Rows 0, 2 and 3 are the first of their batch rows, row 1 the second.
                  Expect.isTrue (Golden.same found[0L] found[2L] && Golden.same found[0L] found[3L]) "the same token"
                  Expect.isGreaterThan (relative found[0L] found[1L]) 1.0 "another token"
                  Expect.isGreaterThan (relative found (noise { Noise.options with Seed = 2 } rows)) 1.0 "another seed"

                  Expect.isTrue
                      (Golden.same (h + 0.0f) (noise { Noise.options with Level = 0.0 } rows))
                      "no level, no noise"

                  Expect.equal
                      (noise Noise.options [| 0; 1; 0; 1 |]).shape[0]
                      4L
                      "rows of a batch row need not stand together")
          }
          test "DAS is h + Rᵀ(R s − R h), and at full rank the interchange itself" {
              for rank in [ 1; 3; 6 ] do
                  expectFormula (das rank) (fun theta h s ->
                      let r = (Orthonormal.qr.Apply theta).t()
                      h + mm (mm s (r.t ()) - mm h (r.t ())) r)

              scoped (fun () ->
                  let what = das 6
                  let s = s ()
                  Expect.isLessThan (relative (edited what (fresh what) (h ()) s) s) 1e-5 "h′ = s")
          }
          test "parts of DAS's subspace add up to the whole" {
              scoped (fun () ->
                  let what = das 4
                  let theta, h, s = fresh what, h (), s ()

                  let part rows =
                      edited (Intervention.onSubspace rows what) theta h s - h

                  Expect.isLessThan
                      (relative (part [ 0; 3 ] + part [ 1; 2 ]) (edited what theta h s - h))
                      1e-5
                      "two parts")
          }
          test "boundless DAS swaps under a sigmoid boundary, at any temperature over the same parameters" {
              for temperature in [ 50.0; 0.7; 0.1 ] do
                  for rank in [ None; Some 4 ] do
                      let options = { boundless with Rank = rank }

                      expectFormula (BoundlessInterchange.atTemperature temperature options) (fun theta h s ->
                          let r = (Orthonormal.qr.Apply theta).t()
                          let count = int r.shape[0]
                          let b = 0.5 * float count
                          let sigmoid x = 1.0 / (1.0 + exp -x)

                          let mask =
                              torch.tensor
                                  [| for i in 0 .. count - 1 ->
                                         sigmoid (float i / temperature) * sigmoid ((b - float i) / temperature)
                                         |> float32 |]

                          h + mm (mask * (mm s (r.t ()) - mm h (r.t ()))) r)
          }
          test "the boundary is clamped as in pyvene, and its penalty is its sum" {
              scoped (fun () ->
                  let mask (b: float) =
                      BoundlessInterchange.mask 0.1 4 (torch.tensor [| float32 b |])

                  Expect.isTrue (Golden.same (mask 1.0) (mask 3.0)) "at most 1"
                  Expect.isTrue (Golden.same (mask 0.001) (mask -2.0)) "at least 0.001"

                  let spec =
                      BoundlessInterchange.create boundless
                      |> at (blockOutput [ 0; 1 ]) (first 1 + last 1)

                  let theta = Reft.init spec config (Rng.ofSeed 1L)

                  let f v =
                      theta.OfVector v |> BoundlessInterchange.penalty

                  Expect.floatClose Accuracy.medium (float ((f theta.Vector).item<float32>())) 2.0 "four boundaries"
                  let gradient = dsharp.grad f theta.Vector
                  Expect.floatClose Accuracy.medium (float (gradient.sum().item<float32>())) 4.0 "one each"

                  refusesArgument [ "'boundary'" ] (fun () -> BoundlessInterchange.penalty Parameters.empty |> ignore))
          }
          test "masks mix h and s, neuron by neuron or in a rotation" {
              for options in
                  [ SigmoidMask.options
                    { SigmoidMask.options with
                        Temperature = 1.5 }
                    SigmoidMask.rotatedOptions ] do
                  scoped (fun () ->
                      let what = SigmoidMask.create options
                      let start = fresh what

                      // Away from the start, where all of the mask is the same.
                      let theta =
                          Parameters(
                              start.Entries
                              |> Seq.map (fun p ->
                                  if p.Name = "mask" then
                                      { p with
                                          Value = draw 12L [ int64 width ] * float32 options.Temperature }
                                  else
                                      p)
                          )

                      let h, s = h (), s ()
                      let m = (theta["mask"] / float32 options.Temperature).sigmoid()

                      let expected =
                          if options.Rotated then
                              let r = (Orthonormal.qr.Apply theta).t()
                              mm ((1.0f - m) * mm h (r.t ()) + m * mm s (r.t ())) r
                          else
                              (1.0f - m) * h + m * s

                      Expect.isLessThan (relative (edited what theta h s) expected) 1e-5 (string what.Form))

              scoped (fun () ->
                  let start options =
                      (fresh (SigmoidMask.create options)).["mask"].data<float32>().ToArray()
                      |> Array.distinct

                  Expect.equal (start SigmoidMask.options) [| 0f |] "half of each"
                  Expect.equal (start SigmoidMask.rotatedOptions) [| 100f |] "pyvene's start in a rotation")
          }
          test "PCA swaps the first coordinates of standardised rows" {
              scoped (fun () ->
                  for components, count in [ 6, 2; 6, 6; 3, 2 ] do
                      let basis = pca components

                      expectFormula (PcaInterchange.create "source" count basis) (fun _ h s ->
                          let coordinates x =
                              mm ((x - basis.Mean) / basis.Deviation) (basis.Components.t ())

                          let mask = torch.tensor [| for i in 0 .. components - 1 -> i < count |]
                          let swapped = torch.where (mask, coordinates s, coordinates h)
                          mm swapped basis.Components * basis.Deviation + basis.Mean))
          }
          test "autoencoders swap latents: ReLU's around the decoder's bias, JumpReLU's above the threshold" {
              scoped (fun () ->
                  for latents in [ None; Some [ 0; 3; 9 ] ] do
                      let chosen =
                          torch.tensor [| for i in 0..9 -> latents |> Option.forall (List.contains i) |]

                      let w = weights false

                      expectFormula (AutoencoderInterchange.create "source" latents w) (fun _ h s ->
                          let code (x: Tensor) =
                              (mm (x - w.DecoderBias) w.Encoder + w.EncoderBias).relu()

                          mm (torch.where (chosen, code s, code h)) w.Decoder + w.DecoderBias)

                      let w = weights true

                      expectFormula (AutoencoderInterchange.create "source" latents w) (fun _ h s ->
                          let code (x: Tensor) =
                              let a = mm x w.Encoder + w.EncoderBias
                              torch.where (a.gt w.Threshold.Value, a.relu (), torch.zeros_like a)

                          mm (torch.where (chosen, code s, code h)) w.Decoder + w.DecoderBias))
          }
          test "gradients are those of finite differences, in parameters, rows and source" {
              scoped (fun () ->
                  for what in everyOne () do
                      let theta = fresh what
                      let h, s = h (), s ()

                      // In fp64, so that the differences are worth comparing with.
                      let out (v: Tensor) (h: Tensor) (s: Tensor) =
                          let wide = theta |> Parameters.map (fun t -> t.``to`` torch.float64)

                          let context =
                              { context s with
                                  Sources = [ source "source" rows s; source "other" rows s ] }

                          Intervention.apply context h (what.Bind(wide.OfVector v))
                          |> dsharp.square
                          |> dsharp.sum

                      let wide (t: Tensor) = t.``to`` torch.float64
                      let v, h, s = wide theta.Vector, wide h, wide s

                      let check name f x =
                          let gradient = dsharp.grad f x
                          let expected = dsharp.numgrad 1e-6 f x
                          let difference = (gradient - expected).norm().item<float>()
                          let scale = max 1.0 (expected.norm().item<float>())
                          Expect.isLessThan (difference / scale) 1e-5 $"{what.Form}: {name}"

                      // torch's Householder map rounds its diagonal to whole numbers: differences across −1 are jumps.
                      let jumps = string what.Form |> _.Contains("householder")

                      if theta.TrainableCount > 0L && not jumps then
                          check "parameters" (fun v -> out v h s) v

                      check "rows" (fun h -> out v h s + h.sum () * 0.0) h
                      check "source" (fun s -> out v h s + s.sum () * 0.0) s)
          } ]
