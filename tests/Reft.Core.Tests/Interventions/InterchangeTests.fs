module Reft.Core.Tests.Interventions.InterchangeTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private width = 6
let private draw seed (shape: int64 list) = Rng.normal shape (Rng.ofSeed seed)
let private mm (a: Tensor) (b: Tensor) = torch.mm (a, b)

let private site = Site.create 1 Component.BlockOutput

let private source name (rows: int[]) (values: Tensor) : Activations =
    { Name = name
      Site = site
      Rows = rows
      Tokens = Array.init rows.Length id
      Values = values }

/// Four rows of three batch rows, and a source that has them in the same order.
let private rows = [| 0; 0; 1; 2 |]

let private h () = draw 1L [ 4L; int64 width ]
let private s () = draw 2L [ 4L; int64 width ]

let private context (values: Tensor) =
    { Context.ofRows rows with
        Site = Some site
        Sources = [ source "source" rows values ] }

let private edited (what: Intervention) theta h s =
    Intervention.apply (context s) h (what.Bind theta)

let private fresh (what: Intervention) = what.Init width (Rng.ofSeed 3L)

let private expectFormula (what: Intervention) (formula: Parameters -> Tensor -> Tensor -> Tensor) =
    scoped (fun () ->
        let theta = fresh what
        let h, s = h (), s ()
        let found = edited what theta h s
        Expect.isLessThan (relative found (formula theta h s)) 1e-6 (string what.Form))

let private pca (components: int) : PcaBasis =
    { Components = (Orthonormal.random width components (Rng.ofSeed 4L)).t().contiguous()
      Mean = draw 5L [ int64 width ]
      Deviation = (draw 6L [ int64 width ]).abs() + 0.5f }

let private weights threshold : AutoencoderWeights =
    { Encoder = draw 7L [ int64 width; 10L ]
      EncoderBias = draw 8L [ 10L ]
      Decoder = draw 9L [ 10L; int64 width ]
      DecoderBias = draw 10L [ int64 width ]
      Threshold = if threshold then Some((draw 11L [ 10L ]).abs()) else None }

let private boundless =
    { BoundlessInterchange.options with
        Temperature = 0.7 }

/// One of each, made in a scope that is open.
let private everyOne () =
    [ ZeroOut.create ()
      Interchange.create "source"
      Interchange.create "other"
      SourceAddition.add "source"
      SourceAddition.subtract "source"
      Noise.create Noise.options
      Noise.create { Seed = 7; Level = 0.5 }
      RotatedInterchange.create (RotatedInterchange.options 3)
      RotatedInterchange.create
          { RotatedInterchange.options 2 with
              Source = "other"
              Orthonormal = Orthonormal.householder }
      BoundlessInterchange.create BoundlessInterchange.options
      BoundlessInterchange.create { boundless with Rank = Some 4 }
      SigmoidMask.create SigmoidMask.options
      SigmoidMask.create SigmoidMask.rotatedOptions
      SigmoidMask.create
          { SigmoidMask.rotatedOptions with
              Temperature = 2.0 }
      PcaInterchange.create "source" 2 (pca 6)
      PcaInterchange.create "other" 3 (pca 3)
      AutoencoderInterchange.create "source" None (weights false)
      AutoencoderInterchange.create "other" (Some [ 0; 4 ]) (weights true) ]

let private refuses fragments (body: unit -> unit) =
    Golden.throwsWith<System.InvalidOperationException> fragments body

let private refusesArgument fragments (body: unit -> unit) =
    Golden.throwsWith<System.ArgumentException> fragments body

[<Tests>]
let formulas =
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

[<Tests>]
let sources =
    testList
        "Sources"
        [ test "rows stand for rows by their number in the batch row, whatever their order" {
              scoped (fun () ->
                  let values = draw 1L [ 4L; 6L ]
                  let shuffled = source "source" [| 2; 0; 1; 0 |] values

                  let found =
                      Sources.rows
                          "source"
                          { context values with
                              Sources = [ shuffled ] }
                          (h ())

                  Expect.isTrue (Golden.same (values[torch.tensor [| 1L; 3L; 2L; 0L |]]) found) "0, 0, 1, 2")
          }
          test "of several sources the one of the name and the site is read" {
              scoped (fun () ->
                  let mine, other = s (), h ()

                  let elsewhere =
                      { source "source" rows other with
                          Site = Site.create 0 Component.BlockOutput }

                  let context =
                      { context mine with
                          Sources = [ elsewhere; source "other" rows other; source "source" rows mine ] }

                  Expect.isTrue (Golden.same mine (Sources.rows "source" context (h ()))) "source"
                  Expect.isTrue (Golden.same other (Sources.rows "other" context (h ()))) "other")
          }
          test "what does not fit is refused with the source, the site, what was expected and what to do" {
              scoped (fun () ->
                  let read sources () =
                      Sources.rows
                          "source"
                          { context (s ()) with
                              Sources = sources }
                          (h ())
                      |> ignore

                  let place = "layers.1.block_output"
                  refuses [ place; "'source'"; "there are no sources"; "Reft.collect" ] (read [])

                  refuses
                      [ place; "'source'"; "there are 'other' at layers.1.block_output" ]
                      (read [ source "other" rows (s ()) ])

                  refuses
                      [ place; "'source'"; "'source' at layers.0.block_output" ]
                      (read
                          [ { source "source" rows (s ()) with
                                Site = Site.create 0 Component.BlockOutput } ])

                  refuses [ place; "2 sources" ] (read [ source "source" rows (s ()); source "source" rows (s ()) ])

                  refuses
                      [ place; "expected rows of width 6, found [4 × 5]" ]
                      (read [ source "source" rows (draw 1L [ 4L; 5L ]) ])

                  refuses
                      [ place; "edits 2 rows of batch row 0, and the source has 1"; "tie it" ]
                      (read [ source "source" [| 0; 1; 2 |] (draw 1L [ 3L; 6L ]) ])

                  refuses
                      [ place; "edits 1 rows of batch row 2, and the source has 0" ]
                      (read [ source "source" [| 0; 0; 1 |] (draw 1L [ 3L; 6L ]) ])

                  refuses
                      [ place; "edits 1 rows of batch row 1, and the source has 2" ]
                      (read [ source "source" [| 0; 0; 1; 1; 2 |] (draw 1L [ 5L; 6L ]) ])

                  refuses [ "found 0"; "Context.Rows" ] (fun () ->
                      Sources.rows "source" { context (s ()) with Rows = [||] } (h ()) |> ignore))
          }
          test "untied parts are told to be tied, and then agree" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let batch = examples 2L 3 [ 9; 7 ] |> Batch.create PaddingSide.Left
                  let ids = Batch.ids torch.CPU batch
                  let context = Batch.context model batch
                  let where = first 1 + last 2
                  let sources = model |> Reft.collect "source" [ site ] where context ids
                  let spec = interchange "source" |> at [ site ] where

                  let run spec =
                      let context = context |> Context.withSources sources

                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Transformer.residual context ids

                  refuses [ "edits 1 rows of batch row 0, and the source has 3"; "ReftSpec.tied" ] (fun () ->
                      run spec |> ignore)

                  Expect.isTrue
                      (Golden.same (model |> Transformer.residual context ids) (run (tied spec)))
                      "a run's own activations change nothing")
          } ]

/// What a run of a batch looks like, with tests of its own for reading and writing rows by hand.
module private ByHand =

    let context (batch: Batch) model = Batch.context model batch

    /// The model with a function of one component of one layer.
    let tapped layer place (f: Tensor -> Tensor) (model: Transformer) =
        { model with
            Taps =
                model.Taps
                |> Array.mapi (fun i tap p h ->
                    let h = tap p h
                    if i = layer && p = place then f h else h) }

    let read layer place batch model =
        let mutable seen = Unchecked.defaultof<Tensor>

        model
        |> tapped layer place (fun h ->
            seen <- h.clone().DetachFromDisposeScope()
            h)
        |> Transformer.residual (context batch model) (Batch.ids torch.CPU batch)
        |> ignore

        seen

    /// The last token of each prompt replaced by that of another run.
    let write layer place (batch: Batch) (values: Tensor) model =
        model
        |> tapped layer place (fun h ->
            let changed = h.clone ()

            for row in 0 .. batch.Rows - 1 do
                let span = batch.Spans[row]
                let column = int64 (span.Column(span.Prompt - 1))
                changed[int64 row, column] <- values[int64 row]

            changed)

    /// The rows of the last tokens of the prompts.
    let lasts (batch: Batch) (h: Tensor) =
        torch.stack (
            ResizeArray
                [ for row in 0 .. batch.Rows - 1 ->
                      let span = batch.Spans[row]
                      h[int64 row, int64 (span.Column(span.Prompt - 1))] ],
            0L
        )

[<Tests>]
let runs =
    testList
        "Interchange between runs"
        [ test "in bf16 the written rows are the source's bit for bit, zero is zero, a reconstruction rounds once" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.bfloat16 1L
                  let site = Site.create 2 Component.BlockOutput

                  let batch seed =
                      examples seed 2 [ 9; 5 ] |> Batch.create PaddingSide.Left

                  let read name batch model =
                      model
                      |> Reft.collect name [ site ] all (Batch.context model batch) (Batch.ids torch.CPU batch)

                  let source = read "source" (batch 2L) model
                  let plain = read "plain" (batch 3L) model

                  let written what =
                      let spec = what |> at [ site ] all
                      let theta = Reft.init spec config (Rng.ofSeed 1L)
                      let context = Batch.context model (batch 3L) |> Context.withSources source

                      (model
                       |> Reft.attach spec theta context
                       |> read "written" (batch 3L)
                       |> List.head)
                          .Values

                  let s, h = source.Head.Values, plain.Head.Values
                  Expect.isFalse (Golden.same s h) "the runs differ"
                  Expect.isTrue (Golden.same s (written (interchange "source"))) "interchange"
                  Expect.isTrue (Golden.same (torch.zeros_like h) (written zeroOut)) "zero"

                  let weights: AutoencoderWeights =
                      { Encoder = draw 7L [ 16L; 10L ]
                        EncoderBias = draw 8L [ 10L ]
                        Decoder = draw 9L [ 10L; 16L ]
                        DecoderBias = draw 10L [ 16L ]
                        Threshold = None }

                  let wide = s.``to`` torch.float32

                  let code =
                      torch.nn.functional
                          .linear(wide - weights.DecoderBias, weights.Encoder.t (), weights.EncoderBias)
                          .relu()

                  let decoded =
                      torch.nn.functional.linear (code, weights.Decoder.t (), weights.DecoderBias)

                  Expect.isTrue
                      (Golden.same
                          (decoded.``to`` torch.bfloat16)
                          (written (AutoencoderInterchange.create "source" None weights)))
                      "autoencoder"

                  // What a change, rather than a replacement, would have written.
                  let rounded = h + (s - h)
                  Expect.isFalse (Golden.same s rounded) "in bf16 h + (s − h) ≠ s")
          }
          test "sources in series: a source run with an interchange of its own" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L

                  let batch seed =
                      examples seed 2 [ 9; 5; 7 ] |> Batch.create PaddingSide.Left

                  let a, b, c = batch 2L, batch 3L, batch 4L
                  let ids (batch: Batch) = Batch.ids torch.CPU batch

                  let early, late =
                      Site.create 0 Component.BlockOutput, Site.create 1 Component.MlpOutput

                  let fromA =
                      model |> Reft.collect "a" [ early ] (last 1) (Batch.context model a) (ids a)

                  let inB = Batch.context model b |> Context.withSources fromA

                  let fromB =
                      model
                      |> Reft.attach (interchange "a" |> at [ early ] (last 1)) Parameters.empty inB
                      |> Reft.collect "b" [ late ] (last 1) inB (ids b)

                  let inC = Batch.context model c |> Context.withSources fromB

                  let found =
                      model
                      |> Reft.attach (interchange "b" |> at [ late ] (last 1)) Parameters.empty inC
                      |> Transformer.residual inC (ids c)

                  let readA = model |> ByHand.read 0 Component.BlockOutput a |> ByHand.lasts a

                  let readB =
                      model
                      |> ByHand.write 0 Component.BlockOutput b readA
                      |> ByHand.read 1 Component.MlpOutput b
                      |> ByHand.lasts b

                  let expected =
                      model
                      |> ByHand.write 1 Component.MlpOutput c readB
                      |> Transformer.residual (Batch.context model c) (ids c)

                  Expect.isTrue (Golden.same expected found) "by hand"

                  let direct = model |> ByHand.read 1 Component.MlpOutput b |> ByHand.lasts b
                  Expect.isGreaterThan (relative readB direct) 1e-3 "the first step reaches the second")
          }
          test "sources in parallel: two runs at two sites of one base run" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L

                  let batch seed =
                      examples seed 2 [ 9; 5; 7 ] |> Batch.create PaddingSide.Right

                  let a, b, c = batch 2L, batch 3L, batch 4L
                  let ids (batch: Batch) = Batch.ids torch.CPU batch

                  let one, two =
                      Site.create 0 Component.BlockOutput, Site.create 1 Component.AttentionValue

                  let collect name site batch =
                      model
                      |> Reft.collect name [ site ] (last 1) (Batch.context model batch) (ids batch)

                  let context =
                      Batch.context model c
                      |> Context.withSources (collect "a" one a)
                      |> Context.withSources (collect "b" two b)

                  let spec =
                      (interchange "a" |> at [ one ] (last 1))
                      @ (interchange "b" |> at [ two ] (last 1))

                  let found =
                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Transformer.residual context (ids c)

                  let expected =
                      model
                      |> ByHand.write
                          0
                          Component.BlockOutput
                          c
                          (model |> ByHand.read 0 Component.BlockOutput a |> ByHand.lasts a)
                      |> ByHand.write
                          1
                          Component.AttentionValue
                          c
                          (model |> ByHand.read 1 Component.AttentionValue b |> ByHand.lasts b)
                      |> Transformer.residual (Batch.context model c) (ids c)

                  Expect.isTrue (Golden.same expected found) "by hand")
          }
          test "a bound spec carries its sources into a generation, and either owner frees it" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let prompts = examples 4L 0 [ 6; 6; 6 ] |> List.map (fun e -> e.Ids)
                  let site = Site.create 2 Component.BlockOutput
                  let others = examples 9L 0 [ 6; 6; 6 ] |> Batch.create PaddingSide.Left

                  let sources =
                      model
                      |> Reft.collect
                          "source"
                          [ site ]
                          (last 1)
                          (Batch.context model others)
                          (Batch.ids torch.CPU others)

                  let first bound prompts =
                      Generate.complete
                          { Generate.options 1 model with
                              StopIds = [] }
                          bound
                          model
                          prompts

                  use bound =
                      Reft.bind (interchange "source" |> at [ site ] (last 1)) Parameters.empty

                  use carrying = bound |> Reft.withSources sources

                  Expect.equal
                      (first [ carrying ] prompts)
                      (first [] (examples 9L 0 [ 6; 6; 6 ] |> List.map (fun e -> e.Ids)))
                      "the last block's output is all that the head reads: the source's next tokens"

                  Expect.notEqual (first [ carrying ] prompts) (first [] prompts) "and not the base's"

                  refuses [ "there are no sources" ] (fun () -> first [ bound ] prompts |> ignore))
          }
          test "training DAS lowers a counterfactual loss" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let site = Site.create 2 Component.BlockOutput
                  let count = 8

                  let sources =
                      examples 11L 0 (List.replicate count 7) |> Batch.create PaddingSide.Right

                  let collected =
                      use _ = torch.no_grad ()

                      model
                      |> Reft.collect
                          "source"
                          [ site ]
                          (last 1)
                          (Batch.context model sources)
                          (Batch.ids torch.CPU sources)

                  // The counterfactual: after the base's prompt the model should say what it says after the source's.
                  let answers =
                      Generate.complete
                          { Generate.options 1 model with
                              StopIds = [] }
                          []
                          model
                          (examples 11L 0 (List.replicate count 7) |> List.map (fun e -> e.Ids))

                  let batch =
                      examples 12L 0 (List.replicate count 5)
                      |> List.mapi (fun row e -> Example.ofCompletion e.Ids answers[row])
                      |> Batch.create PaddingSide.Right

                  for what, rate in
                      [ das 4, 3e-2
                        BoundlessInterchange.create { boundless with Temperature = 1.0 }, 3e-2
                        SigmoidMask.create
                            { SigmoidMask.options with
                                Temperature = 1.0 },
                        3e-2
                        // Its mask is in units of the temperature, and so must be the steps.
                        SigmoidMask.create
                            { SigmoidMask.rotatedOptions with
                                Temperature = 100.0 },
                        3.0 ] do
                      let spec = what |> at [ site ] (last 1)

                      let loss =
                          model
                          |> Loss.reftIn (fun _ context -> context |> Context.withSources collected) spec

                      let theta = Reft.init spec config (Rng.ofSeed 5L)

                      let value theta =
                          Scope.free (fun () -> (loss batch theta).item<float32>())

                      let before = value theta

                      let final =
                          Seq.replicate 60 batch
                          |> Trainer.fit (Trainer.options rate) loss (TrainState.create (Rng.ofSeed 0L) theta)

                      Expect.isLessThan (value final.Parameters) (before * 0.8f) $"{what.Form}: from {before}"
                      TrainState.dispose final)
          } ]

[<Tests>]
let forms =
    testList
        "Interchange forms"
        [ test "each saves and loads through an adapter, bit for bit, constants included" {
              Golden.inTemporaryFolder (fun folder ->
                  let narrow = { config with Hidden = width }

                  everyOne ()
                  |> List.iteri (fun i what ->
                      let folder = System.IO.Path.Combine(folder, string i)
                      let spec = what |> at (blockOutput [ 1 ]) (last 1)
                      let theta = Reft.init spec narrow (Rng.ofSeed 9L)
                      Adapter.save folder narrow "sha256:base" spec theta
                      use loaded = Adapter.load Registry.standard (Some "sha256:base") narrow folder
                      Expect.equal loaded.Spec.Head.What.Form what.Form "form"
                      Expect.equal loaded.Parameters.Names theta.Names $"{what.Form}: names"

                      for p, q in Seq.zip theta.Entries loaded.Parameters.Entries do
                          Expect.equal q.Role p.Role $"{what.Form}: role of {p.Name}"
                          Expect.isTrue (Golden.same p.Value q.Value) $"{what.Form}: {p.Name}"

                      let own (parameters: Parameters) = parameters.Sub "layers.1.block_output"

                      let both =
                          { context (s ()) with
                              Sources = [ source "source" rows (s ()); source "other" rows (s ()) ] }

                      let run (what: Intervention) parameters =
                          Intervention.apply both (h ()) (what.Bind(own parameters))

                      Expect.isTrue
                          (Golden.same (run what theta) (run loaded.Spec.Head.What loaded.Parameters))
                          $"{what.Form}: the same edit"))
          }
          test "only options that are not the default are written" {
              scoped (fun () ->
                  Expect.equal
                      (everyOne () |> List.map (fun what -> string what.Form))
                      [ "zero_out"
                        "interchange"
                        "interchange(source=other)"
                        "add_source"
                        "subtract_source"
                        "noise"
                        "noise(seed=7, level=0.5)"
                        "rotated_interchange(rank=3)"
                        "rotated_interchange(rank=2, source=other, orthonormal=householder)"
                        "boundless_interchange"
                        "boundless_interchange(rank=4, temperature=0.7)"
                        "sigmoid_mask"
                        "sigmoid_mask(rotated=true)"
                        "sigmoid_mask(rotated=true, temperature=2)"
                        "pca_interchange(components=6, count=2)"
                        "pca_interchange(components=3, source=other)"
                        "autoencoder_interchange(size=10)"
                        "jumprelu_interchange(size=10, latents=0,4, source=other)" ]
                      "forms")
          }
          test "options and values that mean nothing are refused" {
              scoped (fun () ->
                  let form name options =
                      Registry.intervention Registry.standard (Form.Method(name, options)) |> ignore

                  for name in
                      [ "zero_out"
                        "interchange"
                        "add_source"
                        "subtract_source"
                        "noise"
                        "sigmoid_mask" ] do
                      refusesArgument [ name; "no option 'colour'" ] (fun () ->
                          form name [ "colour", FormOption.Int 1 ])

                  refusesArgument [ "needs the option 'rank'" ] (fun () -> form "rotated_interchange" [])
                  refusesArgument [ "needs the option 'size'" ] (fun () -> form "autoencoder_interchange" [])
                  refusesArgument [ "rank of 1 or more" ] (fun () -> das 0 |> ignore)
                  refusesArgument [ "rank of 1 … 6, found 7" ] (fun () -> fresh (das 7) |> ignore)
                  refusesArgument [ "needs the name" ] (fun () -> interchange " " |> ignore)

                  for level in [ -1.0; nan; infinity ] do
                      refusesArgument [ "noise level" ] (fun () ->
                          Noise.create { Noise.options with Level = level } |> ignore)

                  for temperature in [ 0.0; -1.0; nan; infinity ] do
                      refusesArgument [ "temperature above 0" ] (fun () ->
                          BoundlessInterchange.atTemperature temperature boundless |> ignore)

                      refusesArgument [ "temperature above 0" ] (fun () ->
                          SigmoidMask.atTemperature temperature SigmoidMask.options |> ignore)

                  refusesArgument [ "1 … 3 principal coordinates"; "found 4" ] (fun () ->
                      PcaInterchange.create "source" 4 (pca 3) |> ignore)

                  refusesArgument [ "mean of pca_interchange"; "[6]"; "[5]" ] (fun () ->
                      PcaInterchange.create "source" 1 { pca 3 with Mean = torch.zeros 5L } |> ignore)

                  refusesArgument [ "above 0" ] (fun () ->
                      PcaInterchange.create
                          "source"
                          1
                          { pca 3 with
                              Deviation = torch.zeros 6L }
                      |> ignore)

                  refusesArgument [ "width 6"; "found 16" ] (fun () ->
                      (PcaInterchange.create "source" 1 (pca 3)).Init 16 (Rng.ofSeed 0L) |> ignore)

                  let autoencoder latents weights () =
                      AutoencoderInterchange.create "source" latents weights |> ignore

                  let w = weights false

                  refusesArgument
                      [ "decoder of"; "[10, 6]"; "[6, 10]" ]
                      (autoencoder None { w with Decoder = w.Encoder })

                  refusesArgument
                      [ "encoder_bias"; "finite" ]
                      (autoencoder
                          None
                          { w with
                              EncoderBias = torch.full (10L, nanf.ToScalar()) })

                  for latents in [ []; [ 10 ]; [ -1 ]; [ 2; 2 ] ] do
                      refusesArgument [ "latents of 0 … 9" ] (autoencoder (Some latents) w)

                  refusesArgument [ "0,7,12"; "found 'x'" ] (fun () ->
                      form "jumprelu_interchange" [ "size", FormOption.Int 10; "latents", FormOption.Text "1,x" ]))
          }
          test "the values that an intervention is made with are copied" {
              scoped (fun () ->
                  let basis = pca 3
                  let what = PcaInterchange.create "source" 1 basis
                  let before = fresh what
                  basis.Mean.zero_ () |> ignore

                  Expect.isTrue
                      (Golden.same (before["mean"]) ((fresh what).["mean"]))
                      "a later change does not reach it")
          } ]
