module Reft.Core.Tests.Reft.SourceRunTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Interventions.InterchangeFixture

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
let tests =
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
