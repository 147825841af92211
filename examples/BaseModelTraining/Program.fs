/// Trains a base model of this repository from nothing, and writes it as a model folder:
///
///     train  --data DIR --steps N --output FILE     the weights, fp32, one after another
///     export --weights FILE --output DIR            a Hugging Face folder, bf16, without its tokenizer
///
/// Both take --size 3.8m (the default) or 8.6m; train takes --computation bf16 (the default) or fp32.
module BaseModelTraining.Program

open System
open System.Diagnostics
open System.IO
open TorchSharp
open Reft.Core

let private option (args: string[]) name otherwise =
    match Array.tryFindIndex ((=) ("--" + name)) args with
    | Some i when i + 1 < args.Length -> args[i + 1]
    | _ -> otherwise

let private sizeOf args =
    let size = option args "size" "3.8m"

    match BaseModel.sizes |> List.tryFind (fst >> (=) size) with
    | Some(_, config) -> config
    | None ->
        let known = BaseModel.sizes |> List.map fst |> String.concat ", "
        invalidArg "size" $"expected a --size of {known}, found {size}"

let private computationOf args =
    match option args "computation" "bf16" with
    | "bf16" -> torch.bfloat16
    | "fp32" -> torch.float32
    | other -> invalidArg "computation" $"expected a --computation of bf16 or fp32, found {other}"

let private export args =
    let config = sizeOf args
    let weights = option args "weights" "base.bin"
    let bytes = File.ReadAllBytes weights
    let parameters = BaseModel.init config (Rng.ofSeed 0L)
    let expected = 4L * int64 parameters.TrainableCount

    if int64 bytes.Length <> expected then
        raise (
            InvalidDataException $"{weights}: expected the {expected} bytes of a trained model, found {bytes.Length}"
        )

    let theta = torch.zeros [| int64 parameters.TrainableCount |]
    theta.bytes <- Span<byte> bytes

    [ for p in (parameters.OfVector theta).Entries -> p.Name, p.Value.``to`` torch.bfloat16 ]
    |> Checkpoint.save (option args "output" "model") config

let private train args =
    let config = sizeOf args
    let loss = BaseModel.loss config (computationOf args)
    let data = option args "data" "."
    let steps = option args "steps" "3200" |> int
    let output = option args "output" "base.bin"
    let batchSize, length = 8, 256
    let text = Path.Combine(data, "train.bin") |> TokenFile.read

    let validation =
        Path.Combine(data, "validation.bin")
        |> TokenFile.read
        |> TokenFile.windows length 0

    let rng = Rng.ofSeed 20240404L

    // Endless epochs, each shuffled and cut at places of its own.
    let batches =
        Seq.initInfinite (fun epoch ->
            let struct (shift, _) = Rng.fork (2 * epoch) rng |> Rng.below length

            text
            |> TokenFile.windows length shift
            |> Batch.epoch PaddingSide.Right batchSize (Some(Rng.fork (2 * epoch + 1) rng))
            |> Seq.filter (fun batch -> batch.Rows = batchSize))
        |> Seq.concat
        |> Seq.take steps

    let options =
        { Trainer.options 2e-3 with
            Schedule = Schedule.linear (steps / 20) steps
            AdamW =
                { AdamW.defaults with
                    Beta2 = 0.95
                    WeightDecay = 0.1 } }

    let parameters = BaseModel.init config rng

    printfn
        $"{parameters.TrainableCount:N0} parameters, {text.Length:N0} tokens, {steps} steps of {batchSize} × {length}"

    let clock = Stopwatch.StartNew()

    let evaluate (state: TrainState) =
        use _ = torch.NewDisposeScope()

        validation
        |> Batch.epoch PaddingSide.Right batchSize None
        |> Trainer.evaluate loss state.Parameters

    let save (state: TrainState) =
        use _ = torch.NewDisposeScope()
        let temporary = output + ".tmp"
        use stream = File.Create temporary
        stream.Write(state.Theta.bytes)
        stream.Flush true
        stream.Dispose()
        File.Move(temporary, output, true)

    for report, state in Trainer.steps options loss (TrainState.create rng parameters) batches do
        if report.Step % 20 = 0 then
            let speed = float (report.Step * batchSize * length) / clock.Elapsed.TotalSeconds

            printfn
                $"step {report.Step} loss {report.Loss:F3} norm {report.GradientNorm:F2} lr {report.LearningRate:E1} {speed:F0} tokens/s"

        if report.Step % 250 = 0 || report.Step = steps then
            printfn $"step {report.Step} validation {evaluate state:F4}"
            save state

[<EntryPoint>]
let main args =
    Native.load ()

    match List.ofArray args with
    | "train" :: _ ->
        train args
        0
    | "export" :: _ ->
        export args
        0
    | _ ->
        eprintfn "usage: train --data DIR --steps N --output FILE | export --weights FILE --output DIR"
        2
