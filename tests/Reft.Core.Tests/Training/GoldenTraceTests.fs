module Reft.Core.Tests.Training.GoldenTraceTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

/// A training run of the real pyreft: which of its modules is which of our parameter sets.
type private Run =
    { Case: string
      Layers: int list
      Tied: bool
      Names: (string * string) list }

let private runs =
    [ { Case = "loreft_component_path"
        Layers = [ 2 ]
        Tied = true
        Names = [ "comp_model_layers[2]_output_unit_pos_nunit_1#0", "layers.2.block_output" ] }
      { Case = "loreft_noshare_first"
        Layers = [ 1; 3 ]
        Tied = false
        Names =
          [ for layer in [ 1; 3 ] do
                for i, group in [ 0, "prefix"; 1, "suffix" ] do
                    $"layer_{layer}_comp_block_output_unit_pos_nunit_1#{i}", $"layers.{layer}.block_output.{group}" ] } ]

let private ints (value: JsonValue) =
    value
    |> JsonValue.items
    |> List.map (JsonValue.int -100 100_000)
    |> List.toArray

/// pyreft prepends a sink token to each row, which only its index arithmetic needs: it is left out here.
let private examples run =
    JsonValue.read 10_000_000 (Golden.path [ "d_e2e"; run.Case; "dataset.json" ])
    |> JsonValue.items
    |> List.map (fun row ->
        let field name = row |> JsonValue.field name |> ints

        let example =
            Example.ofLabels None (Array.tail (field "input_ids")) (Array.tail (field "labels"))

        let locations =
            row
            |> JsonValue.field "intervention_locations"
            |> JsonValue.items
            |> List.collect (ints >> Array.toList)
            |> List.filter (fun location -> location > 0)
            |> List.map (fun location -> location - 1)
            |> List.distinct
            |> List.sort

        example, locations)
    |> List.toArray

let private trace run name =
    JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; run.Case; "trace.json" ])
    |> JsonValue.field name
    |> JsonValue.items
    |> List.map JsonValue.float

let private spec run map =
    Loreft.create
        { Loreft.options 4 with
            Orthonormal = map }
    |> at (blockOutput run.Layers) (first 2 + last 2)
    |> (if run.Tied then tied else id)
    |> ReftSpec.withShortPrompt ShortPrompt.Pyreft

/// pyreft's free matrix, its constant base, W and b, in our layout.
let private modulesOf run (values: string -> Parameters) =
    run.Names
    |> List.map (fun (theirs, ours) -> values theirs |> Parameters.prefixed ours)
    |> Parameters.concat

let private entries rotation weight bias =
    Parameters(
        rotation
        @ [ Parameters.entry Role.Decayed "weight" weight
            Parameters.entry Role.Undecayed "bias" bias ]
    )

/// The parameters before the first step. The golden files hold R and torch's base as they were then, but X, W and b as
/// they became (their tensors were saved by reference). pyreft draws them from torch's generator, seeded with 42, in the
/// order R, base, W, b, module by module; drawn again here, R and base are those of the file, so W and b are too.
let private initial run (map: OrthonormalMap) (golden: Map<string, Tensor>) =
    use generator = new torch.Generator(42UL, torch.CPU)
    let width, rank = 64L, 4L

    let normal rows columns =
        torch.randn ([| rows; columns |], generator = generator)

    let bound = 1.0 / sqrt (float width)

    let created =
        // In the order in which pyreft makes its modules: every layer's prefix, then every layer's suffix.
        run.Names
        |> List.sortBy (fun (theirs, _) -> theirs.EndsWith "#1")
        |> List.map (fun (theirs, _) ->
            let r = normal width rank |> Orthonormal.positiveQr

            let basis =
                torch.cat (ResizeArray [ r; normal width (width - rank) ], 1L)
                |> Orthonormal.positiveQr

            let weight = torch.empty([| rank; width |]).uniform_(-bound, bound, generator)
            let bias = torch.empty([| rank |]).uniform_(-bound, bound, generator)
            Golden.expectClose 1e-5 golden[$"init.{theirs}.state_dict.rotate_layer"] r "R as pyreft drew it"

            let saved =
                golden[$"init.{theirs}.buffer.rotate_layer.parametrizations.weight.0.base"]

            Golden.expectClose 1e-5 saved basis "base as pyreft drew it"

            let rotation =
                if map.Name = "householder" then
                    [ Parameters.entry Role.Undecayed "rotation" -(torch.eye (width, rank))
                      Parameters.entry Role.Constant "base" saved ]
                else
                    [ golden[$"init.{theirs}.state_dict.rotate_layer"]
                      |> Orthonormal.free
                      |> Parameters.entry Role.Undecayed "rotation" ]

            theirs, entries rotation weight bias)
        |> Map.ofList

    modulesOf run (fun theirs -> created[theirs])

/// The parameters after the last step, under torch's map.
let private final run (golden: Map<string, Tensor>) =
    modulesOf run (fun theirs ->
        let get name = golden[$"final.{theirs}.param.{name}"]

        entries
            [ Parameters.entry Role.Undecayed "rotation" (get "rotate_layer.parametrizations.weight.original")
              Parameters.entry
                  Role.Constant
                  "base"
                  golden[$"init.{theirs}.buffer.rotate_layer.parametrizations.weight.0.base"] ]
            (get "learned_source.weight")
            (get "learned_source.bias"))

let private train run (map: OrthonormalMap) golden (model: Transformer) =
    let rows = examples run |> Array.map fst
    let steps = (trace run "loss_exact").Length

    let batches =
        Seq.initInfinite (fun _ -> Batch.epoch PaddingSide.Right 4 None rows)
        |> Seq.concat
        |> Seq.truncate steps

    let options =
        { Trainer.options 5e-3 with
            Schedule = Schedule.linear 0 steps }

    let state = initial run map golden |> TrainState.create (Rng.ofSeed 0L)
    let reports = ResizeArray<StepReport>()
    let mutable last = state

    for report, next in Trainer.steps options (Loss.reft (spec run map) model) state batches do
        reports.Add report
        last <- next

    List.ofSeq reports, last

let private expectEach tolerance expected actual what =
    Expect.equal (List.length actual) (List.length expected) $"{what}: steps"

    List.zip expected actual
    |> List.iteri (fun i (expected: float, actual: float) ->
        let error = abs (actual - expected) / abs expected

        Expect.isTrue
            (error <= tolerance)
            $"{what} {i}: expected {expected}, found {actual}, relative error {error:E1}")

let private evaluation run map model theta =
    let batch =
        examples run
        |> Array.truncate 4
        |> Array.map fst
        |> Array.toList
        |> Batch.create PaddingSide.Right

    Trainer.evaluate (Loss.reft (spec run map) model) theta [ batch ]

/// The prompts of the golden generations (left padded, masked), and the new tokens of a result.
let private generations (golden: Map<string, Tensor>) moment =
    let host (t: Tensor) =
        t.data<int64>().ToArray() |> Array.map int |> Array.chunkBySize (int t.shape[1])

    let ids, mask, sequences =
        host golden["gen.input_ids"], host golden["gen.attention_mask"], host golden[$"{moment}.gen.sequences"]

    [ for row in 0 .. ids.Length - 1 ->
          Array.zip ids[row] mask[row] |> Array.filter (snd >> (=) 1) |> Array.map fst,
          sequences[row][ids[row].Length ..] ]

let private expectGenerations run map model golden moment theta =
    let rows = generations golden moment
    use bound = Reft.bind (spec run map) theta

    let options =
        { MaxNewTokens = (snd rows.Head).Length
          StopIds = []
          Padding = PaddingSide.Left }

    let found = Generate.complete options [ bound ] model (rows |> List.map fst)

    List.zip rows (List.ofArray found)
    |> List.iteri (fun i ((_, expected), found) -> Expect.equal found expected $"{moment} generation {i}")

let private reproduces run () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; "llama"; "model" ])
    let golden = Golden.tensors [ "d_e2e"; run.Case; "tensors.safetensors" ]
    let map = Orthonormal.householder
    let reports, trained = train run map golden loaded.Model
    expectEach 1e-3 (trace run "loss_exact") (reports |> List.map (fun r -> r.Loss)) "loss"
    expectEach 1e-3 (trace run "grad_norm_accumulated") (reports |> List.map (fun r -> r.GradientNorm)) "gradient norm"
    expectEach 1e-6 (trace run "log_lr") (reports |> List.map (fun r -> r.LearningRate)) "learning rate"

    for p in (final run golden).Entries do
        Golden.expectClose 1e-3 p.Value (trained.Parameters[p.Name]) p.Name

    let loss = evaluation run map loaded.Model trained.Parameters

    Expect.floatClose
        { absolute = 0.0; relative = 1e-3 }
        loss
        (float (golden["after.loss_batch0"].item<float32>()))
        "loss after"

    expectGenerations run map loaded.Model golden "before" (initial run map golden)
    expectGenerations run map loaded.Model golden "after" trained.Parameters

let private defaultMap run () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; "llama"; "model" ])
    let golden = Golden.tensors [ "d_e2e"; run.Case; "tensors.safetensors" ]
    let reports, trained = train run Orthonormal.qr golden loaded.Model

    Expect.floatClose
        { absolute = 0.0; relative = 1e-3 }
        reports.Head.Loss
        (trace run "loss_exact").Head
        "the same start"

    let loss = evaluation run Orthonormal.qr loaded.Model trained.Parameters
    let theirs = float (golden["after.loss_batch0"].item<float32>())
    Expect.isLessThan loss (1.02 * theirs) "the loss after training, against torch's map"

let private positions run () =
    for example, locations in examples run do
        let ours =
            (spec run Orthonormal.qr).Head.Where
            |> Positions.resolve (Some ShortPrompt.Pyreft) Tying.Tied example.Prompt
            |> List.map (fun struct (_, token) -> token)
            |> List.sort

        Expect.equal ours locations $"positions of a prompt of {example.Prompt}"

[<Tests>]
let tests =
    testList
        "Golden training"
        [ for run in runs do
              testCase $"{run.Case}: pyreft's positions" (fun () -> TinyModel.scoped (positions run))
              testCase $"{run.Case}: step by step with torch's map" (fun () -> TinyModel.scoped (reproduces run))
              testCase $"{run.Case}: the default map ends as low" (fun () -> TinyModel.scoped (defaultMap run)) ]
