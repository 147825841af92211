/// Every tuning goes through the same laws: a new one joins by adding a row.
module Reft.Core.Tests.Tuning.TuningTests

open System
open System.IO
open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

type private Row =
    {
        Name: string
        Tuning: ModelTuning
        /// Whether training begins at the base model.
        StartsAtBase: bool
    }

let private lora = Lora.options 2 6.0

let private rows =
    [ { Name = "lora"
        Tuning = Lora.create lora
        StartsAtBase = true }
      { Name = "lora of some maps, rank stabilised, in fp32"
        Tuning =
          Lora.create
              { lora with
                  Modules = [ "q_proj"; "mlp.down_proj" ]
                  Stabilised = true
                  Wide = true }
        StartsAtBase = true }
      { Name = "dora"
        Tuning = Lora.create { lora with Magnitudes = true }
        StartsAtBase = true }
      { Name = "bitfit"
        Tuning = BitFit.create
        StartsAtBase = true }
      { Name = "prefix"
        Tuning =
          PrefixTuning.create
              { PrefixTuning.options 3 with
                  Deviation = 0.5 }
        StartsAtBase = false }
      { Name = "prefix made by a projection"
        Tuning =
          PrefixTuning.create
              { PrefixTuning.options 3 with
                  Projection = Some 8 }
        StartsAtBase = false }
      { Name = "probe"
        Tuning = LastLayer.create
        StartsAtBase = true }
      { Name = "full"
        Tuning = FullTuning.create
        StartsAtBase = true } ]

let private spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
let private batch = examples 3L 2 [ 9; 6; 7 ] |> Batch.create PaddingSide.Right

/// The small model as a folder, loaded.
let private withModel (options: LoadOptions -> LoadOptions) (body: LoadedModel -> unit) =
    Golden.inTemporaryFolder (fun folder ->
        let theta = weights config 1L
        Checkpoint.save folder config [ for p in theta.Entries -> p.Name, p.Value ]
        use loaded = Checkpoint.loadWith (options (Checkpoint.defaults ())) folder
        body loaded)

let private logits (model: Transformer) =
    let context = Batch.context model batch
    model |> Transformer.logits context (Batch.ids model.Device batch)

/// Parameters that are somewhere else than at the start.
let private moved (theta: Parameters) =
    let struct (vector, rng) = struct (theta.Vector, Rng.ofSeed 8L)
    theta.OfVector(vector + Rng.normal [ vector.shape[0] ] rng * 0.05f)

let private trained (tuned: Tuned) (start: Parameters) =
    // Keys and values act through a softmax: they move slowly.
    let isPrefix =
        start.Names
        |> List.exists (fun name -> name.StartsWith("prefix.layers", StringComparison.Ordinal))

    let options =
        { Fit.defaults with
            Epochs = 15
            BatchSize = 4
            LearningRate = if isPrefix then 0.2 else 1e-2 }

    let rows = examples 3L 2 [ 9; 6; 7; 8 ]

    let result =
        Fit.run
            options
            (FitTask.create (Loss.language tuned) rows)
            (fun _ _ -> ())
            CancellationToken.None
            (start |> TrainState.create (Rng.ofSeed 4L))

    result.History |> List.map (fun step -> step.Report.Loss)

let private learns what (losses: float list) =
    Expect.isLessThan (List.last losses) (0.9 * List.head losses) $"{what}: the loss falls from {List.head losses}"

let private laws =
    [ for row in rows do
          let tuning = row.Tuning

          if row.StartsAtBase then
              test $"{row.Name} begins at the base model" {
                  withModel id (fun loaded ->
                      let theta = tuning.Init loaded (Rng.ofSeed 2L)
                      Golden.expectClose 1e-6 (logits loaded.Model) (logits (tuning.Model loaded theta)) "logits")
              }

          test $"{row.Name}: the parameters are as announced, and change the model" {
              withModel id (fun loaded ->
                  let theta, blank = tuning.Init loaded (Rng.ofSeed 2L), tuning.Blank loaded

                  Expect.equal
                      [ for p in theta.Entries -> p.Name, p.Role, List.ofArray p.Value.shape ]
                      [ for p in blank.Entries -> p.Name, p.Role, List.ofArray p.Value.shape ]
                      "names, roles, shapes"

                  let after = tuning.Model loaded (moved theta) |> logits
                  Expect.isGreaterThan (relative after (logits loaded.Model)) 1e-4 "logits"
                  Expect.equal (Tunings.ofForm tuning.Form).Form tuning.Form "the form")
          }

          test $"{row.Name}: the gradient is that of the difference quotient" {
              withModel id (fun loaded ->
                  let theta = tuning.Init loaded (Rng.ofSeed 2L) |> moved
                  let loss = tuning |> ModelTuning.tuned loaded |> Loss.language
                  let along v = loss batch (theta.OfVector v)
                  let gradient = dsharp.grad along theta.Vector
                  let direction = gradient / gradient.norm ()
                  let h = 5e-3f

                  // In DoRA the norm is a constant to the derivative: a step of B alone changes it.
                  if not (row.Name = "dora") then
                      let quotient =
                          (along (theta.Vector + direction * h) - along (theta.Vector - direction * h)).item<float32>()
                          / (2.0f * h)

                      Golden.expectClose 1e-2 (gradient.norm ()) (torch.tensor quotient) "along the gradient")
          }

          test $"{row.Name} learns alone and with ReFT" {
              withModel id (fun loaded ->
                  let start = tuning.Init loaded (Rng.ofSeed 2L)
                  let tuned = tuning |> ModelTuning.tuned loaded
                  let before = loaded.Tensors["model.layers.0.self_attn.q_proj.weight"].clone()
                  trained tuned start |> learns row.Name

                  Parameters.concat [ Reft.init spec config (Rng.ofSeed 4L); start ]
                  |> trained (tuned |> ModelTuning.withReft spec)
                  |> learns $"{row.Name} with LoReFT"

                  let after = loaded.Tensors["model.layers.0.self_attn.q_proj.weight"]
                  Expect.isTrue (before.equal(after).all().item<bool>()) "the model's own weights stay")
          } ]

[<Tests>]
let tests =
    testList
        "Tuning"
        [ testList "laws" laws
          test "DoRA is m ⊙ (W + s B A) / ‖W + s B A‖ by rows, its norm a constant to the derivative" {
              withModel id (fun loaded ->
                  let map = "model.layers.1.mlp.up_proj"

                  let tuning =
                      Lora.create
                          { lora with
                              Magnitudes = true
                              Modules = [ "1.mlp.up_proj" ] }

                  let theta = tuning.Init loaded (Rng.ofSeed 2L) |> moved
                  let weight = loaded.Tensors[$"{map}.weight"]

                  let direct (theta: Parameters) =
                      let sum = weight + torch.mm (theta[Lora.upOf map], theta[Lora.downOf map]) * 3.0f
                      let norm = torch.linalg.vector_norm(sum, 2.0, [| 1L |], true).detach()
                      sum / norm * theta[Lora.magnitudeOf map].unsqueeze 1L

                  let written theta =
                      loaded.Build(fun weights ->
                          { weights with
                              Linear =
                                  fun entry ->
                                      let linear = weights.Linear entry

                                      if entry.Name = map then
                                          { linear with
                                              Weight = LinearWeight.Dense(direct theta) }
                                      else
                                          linear })

                  Golden.expectClose 1e-5 (logits (written theta)) (logits (tuning.Model loaded theta)) "logits"

                  let gradient model =
                      dsharp.grad (fun v -> Loss.language (Tuned.ofModel model) batch (theta.OfVector v)) theta.Vector

                  Golden.expectClose 1e-4 (gradient written) (gradient (tuning.Model loaded)) "gradient")
          }
          test "LoRA's dropout is that of the batch's random state, in training alone" {
              withModel id (fun loaded ->
                  let tuning = Lora.create { lora with Dropout = 0.5 }
                  let theta = tuning.Init loaded (Rng.ofSeed 2L) |> moved
                  let loss = tuning |> ModelTuning.tuned loaded |> Loss.language

                  let value random =
                      (loss { batch with Random = random } theta).item<float32>()

                  let seeded seed = value (Some(Rng.ofSeed seed))
                  Expect.equal (seeded 1L) (seeded 1L) "the same"
                  Expect.notEqual (seeded 1L) (seeded 2L) "another"

                  let plain = Lora.create lora |> ModelTuning.tuned loaded |> Loss.language
                  let undropped = (plain batch theta).item<float32>()
                  Expect.equal (value None) undropped "none without a random state")
          }
          test "LoRA and DoRA train on int8 models; what changes their matrices is refused" {
              withModel
                  (fun options ->
                      { options with
                          Weights = WeightFormat.Int8 })
                  (fun loaded ->
                      for magnitudes in [ false; true ] do
                          let tuning = Lora.create { lora with Magnitudes = magnitudes }
                          let start = tuning.Init loaded (Rng.ofSeed 2L)
                          Golden.expectClose 1e-5 (logits loaded.Model) (logits (tuning.Model loaded start)) "start"
                          trained (ModelTuning.tuned loaded tuning) start |> learns "on int8"

                      trained (ModelTuning.tuned loaded BitFit.create) (BitFit.create.Init loaded (Rng.ofSeed 1L))
                      |> learns "biases"

                      Golden.throwsWith<ArgumentException> [ "int8"; "q_proj"; "as stored" ] (fun () ->
                          FullTuning.create.Init loaded (Rng.ofSeed 1L) |> ignore))
          }
          test "in bf16, parameters are fp32 and updates bf16" {
              withModel
                  (fun options ->
                      { options with
                          Dtype = Some torch.bfloat16 })
                  (fun loaded ->
                      for row in rows do
                          let theta = row.Tuning.Init loaded (Rng.ofSeed 2L)

                          for p in theta.Entries do
                              Expect.equal p.Value.dtype torch.float32 p.Name

                          trained (ModelTuning.tuned loaded row.Tuning) theta |> learns row.Name)
          }
          test "other families: every map and bias is reached" {
              scoped (fun () ->
                  for family in [ "gpt2"; "gpt_neox"; "phi3"; "gemma2" ] do
                      use loaded = Checkpoint.load (Golden.path [ "a_models"; family; "model" ])

                      let batch =
                          [ Example.ofCompletion [| 5; 6; 7 |] [| 8; 9 |] ]
                          |> Batch.create PaddingSide.Right

                      for row in rows |> List.filter (fun row -> not (row.Name.Contains "some")) do
                          let theta = row.Tuning.Init loaded (Rng.ofSeed 2L) |> moved
                          let loss = row.Tuning |> ModelTuning.tuned loaded |> Loss.language

                          let gradient =
                              dsharp.grad (fun v -> loss batch (theta.OfVector v)) theta.Vector
                              |> theta.OfVector

                          for p in gradient.Entries do
                              // A bias of keys moves every score of a query alike.
                              let isKeyBias = p.Name.Contains "k_proj" || p.Name.Contains "key"

                              if p.IsTrainable && not isKeyBias then
                                  Expect.isGreaterThan
                                      (p.Value.abs().max().item<float32>())
                                      0.0f
                                      $"{family}, {row.Name}: {p.Name}")
          }
          test "a prefix is what tokens of those keys and values would be: before each row, whatever the padding" {
              withModel id (fun loaded ->
                  let tuning =
                      PrefixTuning.create
                          { PrefixTuning.options 3 with
                              Deviation = 0.5 }

                  let theta = tuning.Init loaded (Rng.ofSeed 2L)
                  let model = tuning.Model loaded theta

                  let rowLogits padding rows =
                      let batch = rows |> Batch.create padding
                      let context = Batch.context model batch
                      let all = model |> Transformer.logits context (Batch.ids model.Device batch)
                      let span = batch.Spans[0]
                      all[0L].narrow(0L, int64 (span.Column 0), int64 span.Length)

                  let rows = examples 3L 2 [ 6; 9 ]
                  let alone = rowLogits PaddingSide.Right [ rows[0] ]
                  Golden.expectClose 1e-5 alone (rowLogits PaddingSide.Right rows) "right"
                  Golden.expectClose 1e-5 alone (rowLogits PaddingSide.Left rows) "left"

                  // Attention written out is the same.
                  let batch = Batch.create PaddingSide.Left rows
                  let context = Batch.context model batch
                  let ids = Batch.ids model.Device batch

                  Golden.expectClose
                      1e-5
                      (model |> Transformer.logits context ids)
                      (model |> Transformer.logits (Context.withPlainAttention context) ids)
                      "plain")
          }
          test "every tuned model generates with a cache what it says without one" {
              withModel id (fun loaded ->
                  for row in rows do
                      let theta = row.Tuning.Init loaded (Rng.ofSeed 2L) |> moved
                      use bound = row.Tuning |> ModelTuning.bind loaded theta
                      let prompts = examples 3L 2 [ 6; 9 ]

                      let generated =
                          Generate.completeRows
                              { MaxNewTokens = 5
                                StopIds = []
                                Padding = PaddingSide.Left }
                              []
                              bound.Model
                              prompts

                      for prompt, completion in Seq.zip prompts generated do
                          let mutable ids = prompt.Ids

                          for token in completion do
                              let batch = [ Example.ofCompletion ids [| 1 |] ] |> Batch.create PaddingSide.Right
                              let context = Batch.context bound.Model batch

                              let all =
                                  bound.Model |> Transformer.logits context (Batch.ids bound.Model.Device batch)

                              let last = all.select(0L, 0L).select(0L, int64 ids.Length - 1L)
                              Expect.equal token (int (last.argmax().item<int64>())) row.Name
                              ids <- Array.append ids [| token |])
          }
          test "what is bound is freed with it" {
              withModel id (fun loaded ->
                  for row in rows do
                      let theta = row.Tuning.Init loaded (Rng.ofSeed 2L) |> Parameters.keep
                      let before = Golden.liveTensors ()

                      for _ in 1..3 do
                          use bound = row.Tuning |> ModelTuning.bind loaded theta
                          Scope.free (fun () -> logits bound.Model |> ignore)

                      Expect.equal (Golden.liveTensors ()) before row.Name
                      Parameters.dispose theta)
          }
          for row in rows do
              test $"{row.Name} is saved and loaded, with interventions beside it" {
                  withModel id (fun loaded ->
                      Golden.inTemporaryFolder (fun folder ->
                          let theta =
                              Parameters.concat
                                  [ Reft.init spec config (Rng.ofSeed 4L)
                                    row.Tuning.Init loaded (Rng.ofSeed 2L) |> moved ]

                          Adapter.saveTuned (Some row.Tuning) None folder config loaded.Fingerprint spec theta
                          use adapter = Adapter.loadOn Registry.standard false loaded folder

                          match adapter.Tuning with
                          | None -> failtest "the tuning"
                          | Some(tuning, own) ->
                              Expect.equal tuning.Form row.Tuning.Form "form"
                              let found = Parameters.concat [ adapter.Parameters; own ]
                              Expect.equal found.Names theta.Names "names"
                              Expect.equal found.TrainableCount theta.TrainableCount "trainable"

                              for p, q in Seq.zip theta.Entries found.Entries do
                                  Expect.isTrue (Golden.same p.Value q.Value) $"{p.Name}, bit for bit"

                          Golden.throwsWith<InvalidDataException> [ "Adapter.loadOn" ] (fun () ->
                              Adapter.load Registry.standard None config folder |> ignore)))
              }
          test "files that ask for another tuning than they hold are refused" {
              withModel id (fun loaded ->
                  let refuses (fragments: string list) (change: string -> string) =
                      Golden.inTemporaryFolder (fun folder ->
                          let tuning = Lora.create lora
                          let theta = tuning.Init loaded (Rng.ofSeed 2L)
                          Adapter.saveTuned (Some tuning) None folder config loaded.Fingerprint [] theta
                          let manifest = Path.Combine(folder, "reft.json")
                          let text = File.ReadAllText manifest
                          let changed = change text
                          Expect.notEqual changed text "a change"
                          File.WriteAllText(manifest, changed)

                          Golden.throwsWith<InvalidDataException> fragments (fun () ->
                              Adapter.loadOn Registry.standard false loaded folder |> ignore))

                  refuses [ "reft.json"; "tuning"; "'lorax'" ] _.Replace("\"lora\"", "\"lorax\"")
                  refuses [ "expected F32 [1000000, 16], found" ] _.Replace("\"rank\": 2", "\"rank\": 1000000")
                  refuses [ "tuning"; "finite alpha" ] _.Replace("\"alpha\": 6.0", "\"alpha\": 1e300"))
          }
          test "merged, a model's folder gives what the tuned model gives" {
              scoped (fun () ->
                  for family in [ "llama"; "llama_bias_tied"; "gpt2"; "gpt_neox" ] do
                      use loaded = Checkpoint.load (Golden.path [ "a_models"; family; "model" ])

                      let logits (model: Transformer) =
                          let batch = [ Example.ofText [| 5; 6; 7; 8 |] ] |> Batch.create PaddingSide.Right

                          model
                          |> Transformer.logits (Batch.context model batch) (Batch.ids model.Device batch)

                      for row in
                          rows
                          |> List.filter (fun row -> row.Name = "full" || not (row.Name.Contains "some")) do
                          let theta = row.Tuning.Init loaded (Rng.ofSeed 2L) |> moved
                          let tuned = logits (row.Tuning.Model loaded theta)

                          let refused =
                              row.Name.StartsWith("prefix", StringComparison.Ordinal)
                              || (row.Name = "probe" && loaded.Config.TiedHead)
                              || (row.Name = "bitfit" && family = "llama")

                          if refused then
                              Golden.throwsWith<InvalidOperationException> [ "as an adapter" ] (fun () ->
                                  row.Tuning.Merge loaded theta |> ignore)
                          else
                              Golden.inTemporaryFolder (fun folder ->
                                  Checkpoint.save folder loaded.Config (row.Tuning.Merge loaded theta)
                                  use merged = Checkpoint.load folder
                                  Golden.expectClose 1e-5 tuned (logits merged.Model) $"{family}, {row.Name}"))
          }
          test "LoRA saved as peft saves it is what was trained" {
              scoped (fun () ->
                  for family, modules in
                      [ "llama", []
                        "llama", [ "q_proj" ]
                        "gpt2", []
                        "gpt_neox", [ "attention.dense" ] ] do
                      let path = Golden.path [ "a_models"; family; "model" ]
                      use loaded = Checkpoint.load path
                      let options = { lora with Modules = modules }
                      let tuning = Lora.create options
                      let theta = tuning.Init loaded (Rng.ofSeed 2L) |> moved

                      let logits (model: Transformer) =
                          let batch = [ Example.ofText [| 5; 6; 7; 8 |] ] |> Batch.create PaddingSide.Right

                          model
                          |> Transformer.logits (Batch.context model batch) (Batch.ids model.Device batch)

                      Golden.inTemporaryFolder (fun folder ->
                          PeftExport.save folder loaded options theta

                          use beside =
                              Checkpoint.loadWith
                                  { Checkpoint.defaults () with
                                      Lora = Some { Folder = folder; Merge = false } }
                                  path

                          Golden.expectClose
                              1e-6
                              (logits (tuning.Model loaded theta))
                              (logits beside.Model)
                              $"{family} %A{modules}"))
          }
          test "what is not there is refused by name" {
              withModel id (fun loaded ->
                  Golden.throwsWith<ArgumentException> [ "'q_porj'"; "q_proj"; "down_proj" ] (fun () ->
                      (Lora.create { lora with Modules = [ "q_porj" ] }).Init loaded (Rng.ofSeed 1L)
                      |> ignore)

                  Golden.throwsWith<ArgumentException> [ "'lroa'"; "lora, dora" ] (fun () ->
                      Tunings.ofForm (Form.Method("lroa", [])) |> ignore)

                  Golden.throwsWith<ArgumentException> [ "no option 'alhpa'" ] (fun () ->
                      Form.Method("lora", [ "rank", FormOption.Int 2; "alhpa", FormOption.Int 4 ])
                      |> Tunings.ofForm
                      |> ignore)

                  Golden.throwsWith<ArgumentException> [ "dropout" ] (fun () ->
                      Lora.create { lora with Dropout = 1.0 } |> ignore))
          } ]
