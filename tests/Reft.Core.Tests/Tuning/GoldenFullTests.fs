module Reft.Core.Tests.Tuning.GoldenFullTests

open System
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private steps = 10

/// The rows of the run, in their order, again and again.
let private batches () =
    let rows =
        JsonValue.read 10_000_000 (Golden.path [ "d_e2e"; "loreft_share_module"; "dataset.json" ])
        |> JsonValue.items
        |> List.map (fun row ->
            let ints key =
                row
                |> JsonValue.field key
                |> JsonValue.items
                |> List.map (JsonValue.int -100 100_000)
                |> List.toArray

            Example.ofLabels None (ints "input_ids") (ints "labels"))
        |> List.toArray

    Seq.initInfinite (fun _ -> Batch.epoch PaddingSide.Right 4 None rows)
    |> Seq.concat
    |> Seq.truncate steps

[<Tests>]
let tests =
    test "Full fine-tuning gives torch's losses, gradient norms and weights, step by step" {
        scoped (fun () ->
            use loaded = Checkpoint.load (Golden.path [ "a_models"; "llama"; "model" ])
            let golden = Golden.tensors [ "d_e2e"; "full_finetune"; "tensors.safetensors" ]

            let trace =
                JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; "full_finetune"; "trace.json" ])

            let numbers name =
                trace |> JsonValue.field name |> JsonValue.items |> List.map JsonValue.float

            let start = FullTuning.create.Init loaded (Rng.ofSeed 0L)
            let loss = FullTuning.create |> ModelTuning.tuned loaded |> Loss.language

            let options =
                { Trainer.options 1e-3 with
                    AdamW =
                        { AdamW.defaults with
                            WeightDecay = 0.1 } }

            let mutable last = start |> TrainState.create (Rng.ofSeed 0L)
            let found = ResizeArray<StepReport>()

            for report, next in Trainer.steps options loss last (batches ()) do
                found.Add report
                last <- next

            for i, (expected, norm) in List.zip (numbers "loss") (numbers "grad_norm") |> List.indexed do
                Expect.floatClose { absolute = 0.0; relative = 1e-3 } found[i].Loss expected $"loss of step {i}"

                Expect.floatClose
                    { absolute = 0.0; relative = 1e-3 }
                    found[i].GradientNorm
                    norm
                    $"gradient norm of step {i}"

            for KeyValue(name, tensor) in golden do
                if name.StartsWith("final.", StringComparison.Ordinal) then
                    let ours = FullTuning.nameOf (name.Substring "final.".Length)
                    Golden.expectClose 1e-3 tensor last.Parameters[ours] name)
    }
