module Reft.Core.Tests.Training.FrozenPrefixTests

open System
open System.IO
open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private memory: FrozenPrefixOptions =
    { MostBytes = Int64.MaxValue
      Folder = None }

let private specs: (string * int * ReftSpec) list =
    [ "output of block 1", 2, loreft 2 |> at (blockOutput [ 1; 2 ]) (first 2 + last 2)
      "inside of block 1", 1, loreft 2 |> at (query [ 1 ] @ mlpOutput [ 1 ] @ blockOutput [ 1 ]) all |> tied
      "input of block 2", 2, loreft 2 |> at (blockInput [ 2 ]) (first 1)
      "output of block 0", 1, loreft 2 |> at (blockOutput [ 0 ]) (last 3)
      "input of block 0", 0, loreft 2 |> at (blockInput [ 0 ]) (last 3) ]

let private rows = examples 6L 3 [ 9; 5; 7; 6; 12; 8 ]

let private same (a: Tensor) (b: Tensor) = a.eq(b).all().item<bool>()

let private batches size padding (rows: Example list) =
    Batch.epoch padding size None (List.toArray rows) |> Seq.toList

/// A model that counts how often each of its blocks runs.
let private counting (model: Transformer) =
    let runs = Array.zeroCreate<int> model.Blocks.Length

    runs,
    { model with
        Blocks =
            model.Blocks
            |> Array.mapi (fun layer block ->
                fun tap context h ->
                    runs[layer] <- runs[layer] + 1
                    block tap context h) }

let private close what (value: float32, gradient) (plainValue: float32, plainGradient) =
    Expect.floatClose { absolute = 0.0; relative = 1e-6 } (float value) (float plainValue) $"{what}: loss"
    Expect.isLessThan (relative gradient plainGradient) 1e-6 $"{what}: gradient"

[<Tests>]
let tests =
    testList
        "Frozen prefix"
        [ for family, config in TinyFamilies.decoders do
              test $"{config.Family}: losses and gradients are those of the whole model" {
                  scoped (fun () ->
                      // In other company fp32 rounds otherwise with and without a cache; fp64 shows that nothing else differs.
                      for dtype, (name, layers, spec) in List.allPairs [ torch.float32; torch.float64 ] specs do
                          let model = TinyFamilies.create dtype (family, config)
                          use prefix = FrozenPrefix.create memory spec model
                          Expect.equal prefix.Layers layers $"{name}: layers"
                          let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                          let plain, cached = Loss.reft spec model, Loss.language (FrozenPrefix.tuned prefix)

                          for pass in 1..2 do
                              for batch in batches 2 PaddingSide.Right rows do
                                  let value, gradient = TinyFamilies.valueAndGradient cached theta batch
                                  let plainValue, plainGradient = TinyFamilies.valueAndGradient plain theta batch
                                  Expect.equal value plainValue $"{name}: loss, pass {pass}"
                                  Expect.isTrue (same gradient plainGradient) $"{name}: gradient, pass {pass}"

                          if dtype = torch.float64 then
                              for batch in
                                  batches 2 PaddingSide.Left rows
                                  @ batches 4 PaddingSide.Left (List.rev rows)
                                  @ [ Batch.pack 17 PaddingSide.Right rows ] do
                                  close
                                      name
                                      (TinyFamilies.valueAndGradient cached theta batch)
                                      (TinyFamilies.valueAndGradient plain theta batch)

                          if layers > 0 then
                              Expect.equal prefix.Computed (int64 rows.Length) $"{name}: computed once"
                              Expect.equal prefix.Kept rows.Length $"{name}: kept")
              }
          for family, config in TinyFamilies.encoders do
              test $"{config.Family}: labelled rows, whose segments are told apart" {
                  scoped (fun () ->
                      let model = TinyFamilies.create torch.float32 (family, config)
                      let classifier = TinyFamilies.classifier (family, config)
                      let spec = loreft 2 |> at (blockOutput [ 1 ]) (first 1)
                      let labelled = TinyFamilies.labelled config [ 9; 5; 7; 6; 12; 8 ]

                      let rows =
                          if config.SegmentTypes = 2 then
                              labelled
                              @ (labelled
                                 |> List.map (fun e ->
                                     { e with
                                         Segments = Array.rev e.Segments }))
                          else
                              labelled

                      use prefix = FrozenPrefix.create memory spec model

                      let theta =
                          Parameters.concat [ Reft.init spec config (Rng.ofSeed 2L); classifier.Parameters ]
                          |> TinyFamilies.moved

                      let cached = Loss.sequence classifier (FrozenPrefix.tuned prefix)

                      for _ in 1..2 do
                          for batch in batches 3 PaddingSide.Right rows do
                              close
                                  "sequence"
                                  (TinyFamilies.valueAndGradient cached theta batch)
                                  (TinyFamilies.valueAndGradient (Loss.classifier spec classifier model) theta batch)

                      Expect.equal prefix.Kept rows.Length "kept"
                      Expect.equal prefix.Reused (int64 rows.Length) "reused")
              }
          test "a head alone on a frozen model runs no layer twice" {
              scoped (fun () ->
                  let runs, model = create torch.float32 1L |> counting
                  let classifier = TinyFamilies.classifier (Llama.family, config)
                  use prefix = FrozenPrefix.create memory [] model
                  let loss = Loss.sequence classifier (FrozenPrefix.tuned prefix)
                  let rows = TinyFamilies.labelled config [ 5; 6; 7 ]

                  for _ in 1..3 do
                      for batch in batches 2 PaddingSide.Right rows do
                          TinyFamilies.valueAndGradient loss classifier.Parameters batch |> ignore

                  Expect.equal runs [| 2; 2; 2 |] "two batches, one epoch")
          }
          test "shuffled epochs run frozen layers once for each batch of the first, and learn the same" {
              scoped (fun () ->
                  let spec = loreft 2 |> at (blockOutput [ 1; 2 ]) (first 2 + last 2)
                  let runs, model = create torch.float32 1L |> counting
                  use prefix = FrozenPrefix.create memory spec model

                  let options =
                      { Fit.defaults with
                          Epochs = 5
                          BatchSize = 2
                          LearningRate = 1e-2 }

                  let run loss =
                      Fit.run
                          options
                          (FitTask.create loss rows)
                          (fun _ _ -> ())
                          CancellationToken.None
                          (Reft.init spec config (Rng.ofSeed 4L) |> TrainState.create (Rng.ofSeed 4L))

                  let cached = run (Loss.language (FrozenPrefix.tuned prefix))
                  Expect.equal runs [| 3; 3; 15 |] "runs of each block"
                  let plain = run (Loss.reft spec model)
                  Expect.equal runs[0] (3 + 15) "without the cache every batch of every epoch"

                  for a, b in List.zip cached.History plain.History do
                      Expect.floatClose
                          { absolute = 0.0; relative = 1e-5 }
                          a.Report.Loss
                          b.Report.Loss
                          "loss of a step")
          }
          test "a dataset that is computed beforehand gives the same bits in every order, and stops where the room ends" {
              scoped (fun () ->
                  let spec = loreft 2 |> at (blockOutput [ 2 ]) (first 2)
                  let runs, model = create torch.float32 1L |> counting
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                  let set = List.toArray rows

                  let filled bytes =
                      let prefix = FrozenPrefix.create { memory with MostBytes = bytes } spec model
                      FrozenPrefix.fill 2 set CancellationToken.None prefix
                      prefix

                  use prefix = filled Int64.MaxValue
                  Expect.equal prefix.Kept 6 "kept"
                  Expect.equal runs [| 3; 3; 3 |] "three batches"
                  // The second one has seen other batches before, as a run that is resumed has.
                  use other = filled Int64.MaxValue

                  let loss prefix batch =
                      TinyFamilies.valueAndGradient (Loss.language (FrozenPrefix.tuned prefix)) theta batch

                  for batch in batches 3 PaddingSide.Right (List.rev rows) do
                      loss other batch |> ignore

                  for batch in batches 2 PaddingSide.Right rows do
                      let (a, gradientA), (b, gradientB) = loss prefix batch, loss other batch
                      Expect.equal b a "loss"
                      Expect.isTrue (same gradientA gradientB) "gradient"

                  let before = runs[0]
                  use small = filled (int64 (13 * config.Hidden * 4))
                  Expect.equal small.Kept 2 "5 and 6 tokens"
                  Expect.equal (runs[0] - before) 2 "it stops at the first that does not fit"
                  FrozenPrefix.seal small
                  let another = examples 9L 1 [ 2 ] |> Batch.create PaddingSide.Right
                  Loss.language (FrozenPrefix.tuned small) another theta |> ignore
                  Expect.equal small.Kept 2 "nothing more is kept, though there is room"

                  use cancelled = FrozenPrefix.create memory spec model
                  FrozenPrefix.fill 2 set (CancellationToken true) cancelled
                  Expect.equal cancelled.Kept 0 "cancelled")
          }
          test "what has no room is computed, and what is kept stays" {
              scoped (fun () ->
                  let spec = loreft 2 |> at (blockOutput [ 2 ]) (first 2)
                  let model = create torch.float32 1L
                  // Rows of 9, 5 and 7 tokens fit, that of 6 does not.
                  let bound = int64 ((9 + 5 + 7) * config.Hidden * 4 + 10)
                  use prefix = FrozenPrefix.create { memory with MostBytes = bound } spec model
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                  let cached = Loss.language (FrozenPrefix.tuned prefix)

                  for _ in 1..3 do
                      for batch in batches 1 PaddingSide.Right rows do
                          close
                              "bounded"
                              (TinyFamilies.valueAndGradient cached theta batch)
                              (TinyFamilies.valueAndGradient (Loss.reft spec model) theta batch)

                          Expect.isLessThanOrEqual prefix.Bytes bound "bytes"

                  Expect.equal prefix.Kept 3 "kept"
                  Expect.equal prefix.Reused 6L "the three, in two epochs"
                  Expect.equal prefix.Computed 12L "the others, and all in the first")
          }
          test "a file gives the bits that memory gives, and is gone whatever happens" {
              Golden.inTemporaryFolder (fun folder ->
                  for dtype in [ torch.float32; torch.bfloat16 ] do
                      let spec = loreft 2 |> at (blockOutput [ 2 ]) (first 2)
                      let model = create dtype 1L
                      let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved
                      use inMemory = FrozenPrefix.create memory spec model
                      use onDisk = FrozenPrefix.create { memory with Folder = Some folder } spec model

                      for _ in 1..2 do
                          for batch in batches 2 PaddingSide.Right rows do
                              let value prefix =
                                  TinyFamilies.valueAndGradient (Loss.language (FrozenPrefix.tuned prefix)) theta batch

                              let (a, gradientA), (b, gradientB) = value inMemory, value onDisk
                              Expect.equal b a "loss"
                              Expect.isTrue (same gradientA gradientB) "gradient"

                      Expect.equal onDisk.Reused (int64 rows.Length) "read back"
                      Expect.equal onDisk.Bytes inMemory.Bytes "bytes"

                      // The file has no name even in use, so that a crash leaves nothing.
                      if not (OperatingSystem.IsWindows()) then
                          Expect.isEmpty (Directory.GetFileSystemEntries folder) "files in use"

                  Expect.isEmpty (Directory.GetFileSystemEntries folder) "files after")
          }
          test "nothing is left behind, and a disposed cache is refused" {
              scoped (fun () ->
                  let spec = loreft 2 |> at (blockOutput [ 2 ]) (first 2)
                  let model = create torch.float32 1L
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> Parameters.keep
                  let batch = Batch.create PaddingSide.Right rows
                  let before = Golden.liveTensors ()

                  let tuned =
                      use prefix = FrozenPrefix.create memory spec model
                      let tuned = FrozenPrefix.tuned prefix

                      for _ in 1..3 do
                          use _ = torch.NewDisposeScope()
                          TinyFamilies.valueAndGradient (Loss.language tuned) theta batch |> ignore

                      Expect.equal
                          (Golden.liveTensors ())
                          (before + int64 rows.Length)
                          "what is kept, and nothing else"

                      tuned

                  Expect.equal (Golden.liveTensors ()) before "live tensors"

                  Expect.throwsT<ObjectDisposedException>
                      (fun () -> Loss.language tuned batch theta |> ignore)
                      "disposed"

                  Parameters.dispose theta)
          }
          test "rotary positions that stretch with the longest row are not kept" {
              scoped (fun () ->
                  let config =
                      { config with
                          RopeScaling = RopeScaling.Dynamic(2.0, 8) }

                  let model = TinyModel.weights config 1L |> ofWeights torch.float32 config
                  let spec = loreft 2 |> at (blockOutput [ 2 ]) (first 2)
                  use prefix = FrozenPrefix.create memory spec model
                  let theta = Reft.init spec config (Rng.ofSeed 2L) |> TinyFamilies.moved

                  for _ in 1..2 do
                      for batch in batches 2 PaddingSide.Right rows do
                          let value, gradient =
                              TinyFamilies.valueAndGradient (Loss.language (FrozenPrefix.tuned prefix)) theta batch

                          let plainValue, plainGradient =
                              TinyFamilies.valueAndGradient (Loss.reft spec model) theta batch

                          Expect.equal value plainValue "loss"
                          Expect.isTrue (same gradient plainGradient) "gradient"

                  Expect.equal prefix.Kept 2 "only the batch of 7 and 6 tokens")
          }
          test "options that mean nothing are refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let refuses text options =
                      Expect.throwsC (fun () -> FrozenPrefix.create options [] model |> ignore) (fun e ->
                          Expect.stringContains e.Message text "message")

                  refuses "MostBytes of 0 or more, found -1" { memory with MostBytes = -1L }

                  refuses
                      "expected a folder for the cache of frozen layers"
                      { memory with
                          Folder = Some(Path.Combine(Path.GetTempPath(), "reft-no-such-folder")) })
          } ]
