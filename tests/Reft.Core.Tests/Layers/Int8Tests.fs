module Reft.Core.Tests.Layers.Int8Tests

open System
open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

let private case name body = test name { TinyModel.scoped body }

let private draw (index: int) (shape: int64 list) =
    Rng.ofSeed 11L |> Rng.fork index |> Rng.normal shape

/// A matrix whose rows differ in size by six orders of magnitude.
let private uneven (rows: int64) (columns: int64) =
    draw 0 [ rows; columns ]
    * torch.logspace(-4.0, 2.0, rows, dtype = torch.float32).unsqueeze 1L

let private largest (x: Tensor) =
    x.max().``to``(torch.float64).item<float>()

let private wide (x: Tensor) = x.``to`` torch.float64

let private bounded (dtype: torch.ScalarType) (weight: Tensor) =
    let values, scale = weight |> Int8.quantise dtype
    Expect.equal values.dtype torch.int8 "whole numbers"
    Expect.equal scale.dtype dtype "factors"
    Expect.isLessThanOrEqual (largest (values.``to``(torch.float64).abs())) 127.0 "symmetric"
    let error = (wide weight - wide values * wide scale).abs()
    // The division is in fp32: a value half-way between two may go either way.
    let excess = largest (error / wide scale)
    Expect.isLessThanOrEqual excess (0.5 + 1e-5) $"error in steps, {dtype}"

/// The graph keeps what each node saved: an expanded matrix for each of them would be seen here.
let private anonymousBytes () =
    GC.Collect()

    File.ReadLines "/proc/self/status"
    |> Seq.find (fun line -> line.StartsWith("RssAnon:", StringComparison.Ordinal))
    |> fun line ->
        int64 (line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1])
        * 1024L

[<Tests>]
let tests =
    testList
        "Int8"
        [ case "each weight is within half a step of its row" (fun () ->
              for dtype in [ torch.float32; torch.bfloat16 ] do
                  bounded dtype (uneven 12L 40L)
                  // More than one chunk of rows.
                  bounded dtype (uneven 5L 2_000_000L)
                  bounded dtype ((uneven 12L 40L).``to`` torch.bfloat16)

              bounded torch.float16 (draw 1 [ 12L; 40L ]))

          case "the largest weight of a row is kept exactly" (fun () ->
              let weight = torch.tensor([| 127.0f; -254.0f; 2.0f; 0.0f |]).view(2L, 2L)
              let values, scale = weight |> Int8.quantise torch.float32

              Expect.isTrue
                  (Golden.same
                      (torch.tensor ([| -254.0f; 2.0f |]))
                      ((Int8.dequantise torch.float32 values scale).abs().amax([| 1L |])
                       * torch.tensor [| -1.0f; 1.0f |]))
                  "largest")

          case "rows of zeros stay zeros" (fun () ->
              let weight = draw 2 [ 4L; 40L ]
              weight[1].zero_() |> ignore
              let values, scale = weight |> Int8.quantise torch.bfloat16
              let back = Int8.dequantise torch.bfloat16 values scale
              Expect.isTrue (Golden.same (torch.zeros (40L, dtype = torch.bfloat16)) back[1]) "zeros"
              let y = torch.ones (2L, 40L, dtype = torch.bfloat16) |> Int8.product values scale
              Expect.isTrue (y.isfinite().all().item<bool>()) "finite")

          case "weights that are not finite show" (fun () ->
              for bad in [ nanf; infinityf ] do
                  let weight = draw 3 [ 4L; 32L ]
                  weight[2, 5] <- torch.tensor bad

                  for rows in [ 2L; 100L ] do
                      let values, scale = weight |> Int8.quantise torch.bfloat16
                      let y = torch.ones (rows, 32L, dtype = torch.bfloat16) |> Int8.product values scale
                      Expect.isFalse (y.select(1L, 2L).isfinite().any().item<bool>()) "the row's outputs"
                      Expect.isTrue (y.select(1L, 1L).isfinite().all().item<bool>()) "the others'")

          case "the product is that of the dequantised matrix" (fun () ->
              // Widths that libtorch's kernel takes and others; the last is of several chunks.
              for outputs, inputs in [ 7L, 20L; 48L, 64L; 600L, 8192L ] do
                  let values, scale = uneven outputs inputs |> Int8.quantise torch.float32
                  let dense = Int8.dequantise torch.float32 values scale

                  for shape in [ [ 1L ]; [ 1L; 1L ]; [ 3L; 2L ]; [ 5L; 13L ]; [ 2L; 70L ] ] do
                      let x = draw 4 (shape @ [ inputs ])
                      let expected = torch.nn.functional.linear (x, dense)
                      Golden.expectClose 1e-6 expected (x |> Int8.product values scale) $"{outputs} × {inputs}, fp32"
                      // bf16 has 8 bits: the output is rounded, at most twice.
                      let short = Int8.quantise torch.bfloat16 dense
                      let narrow = x.``to`` torch.bfloat16

                      let expected =
                          torch.nn.functional.linear (
                              narrow.``to`` torch.float32,
                              Int8.dequantise torch.float32 (fst short) (snd short)
                          )

                      let y = (narrow |> Int8.product (fst short) (snd short)).``to`` torch.float32
                      Golden.expectClose 4e-3 expected y $"{outputs} × {inputs}, bf16")

          case "a bias and low-rank updates are added" (fun () ->
              let values, scale = draw 5 [ 24L; 32L ] |> Int8.quantise torch.float32
              let bias = draw 6 [ 24L ]

              let map weight =
                  { Weight = weight
                    Bias = Some bias
                    Updates =
                      [ { Down = draw 7 [ 2L; 32L ]
                          Up = draw 8 [ 24L; 2L ]
                          Scale = 0.5
                          Input = None } ]
                    Rescale = None }

              let x = draw 9 [ 2L; 3L; 32L ]
              let dense = Int8.dequantise torch.float32 values scale
              let expected = x |> Linear.apply (map (LinearWeight.Dense dense))
              let int8 = map (LinearWeight.Int8(values, scale))
              Golden.expectClose 1e-6 expected (x |> Linear.apply int8) "output"
              Expect.equal (Linear.outputs int8) 24L "width")

          case "derivatives are those of the dequantised matrix, to the second order" (fun () ->
              // In fp64, where two orders of summing differ by 1e-16; the second is of several chunks.
              for outputs, inputs in [ 24L, 32L; 600L, 8192L ] do
                  let values, scale = draw 5 [ outputs; inputs ] |> Int8.quantise torch.float64
                  let dense = Int8.dequantise torch.float64 values scale
                  let x = (draw 9 [ 3L; inputs ]).``to`` torch.float64
                  let direction = (draw 10 [ 3L; inputs ]).``to`` torch.float64

                  let curved (y: Tensor) =
                      let y = y / sqrt (float inputs)
                      (y.square () * y.sin ()).sum()

                  let int8 (x: Tensor) =
                      x |> Int8.product values scale |> curved

                  let plain (x: Tensor) =
                      torch.nn.functional.linear (x, dense) |> curved

                  Golden.expectClose 1e-12 (dsharp.grad plain x) (dsharp.grad int8 x) "gradient"

                  Golden.expectClose
                      1e-12
                      (dsharp.hessianv plain x direction)
                      (dsharp.hessianv int8 x direction)
                      "second derivative")

          case "a pass forward keeps no expanded matrix for the pass back" (fun () ->
              let layers = 40

              let matrices =
                  [ for i in 1..layers -> draw i [ 1024L; 1024L ] |> Int8.quantise torch.float32 ]

              let forward (x: Tensor) =
                  matrices
                  |> List.fold (fun (x: Tensor) (values, scale) -> (x |> Int8.product values scale) / 32.0f) x

              let x = Autograd.variable (draw 0 [ 70L; 1024L ])
              (forward x).Dispose()
              let before = anonymousBytes ()
              let y = (forward x).sum()
              let grown = anonymousBytes () - before
              // Expanded, they are 4 MB each.
              Expect.isLessThan grown (int64 layers * 2_000_000L) $"the graph holds {grown} bytes"
              let gradient = Autograd.gradients y [ x ]
              Expect.isTrue (gradient.Head.isfinite().all().item<bool>()) "gradient")

          case "many steps leave no tensor and no memory behind" (fun () ->
              let values, scale = draw 5 [ 256L; 256L ] |> Int8.quantise torch.float32
              let x = draw 9 [ 100L; 256L ]

              let round count =
                  for _ in 1..count do
                      use gradient =
                          dsharp.grad (fun x -> (x |> Int8.product values scale).square().sum()) x

                      ignore gradient

              round 200
              let tensors, bytes = Golden.liveTensors (), anonymousBytes ()
              round 2_000
              Expect.equal (Golden.liveTensors ()) tensors "live tensors"
              let grown = anonymousBytes () - bytes
              // One matrix left by each would be 512 MB, one gradient 200 MB.
              Expect.isLessThan grown 16_000_000L $"anonymous memory grew by {grown} bytes")

          case "what is no matrix, or not of its width, is refused" (fun () ->
              Golden.throwsWith<ArgumentException> [ "matrices"; "[3, 4, 5]" ] (fun () ->
                  draw 0 [ 3L; 4L; 5L ] |> Int8.quantise torch.float32 |> ignore)

              Golden.throwsWith<ArgumentException> [ "matrices"; "Int64" ] (fun () ->
                  torch.ones (3L, 4L, dtype = torch.int64)
                  |> Int8.quantise torch.float32
                  |> ignore)

              let values, scale = draw 0 [ 4L; 32L ] |> Int8.quantise torch.float32

              Golden.throwsWith<ArgumentException> [ "32"; "[2, 31]" ] (fun () ->
                  draw 0 [ 2L; 31L ] |> Int8.product values scale |> ignore)) ]
