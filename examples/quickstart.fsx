// The quickstart in F#, on Reft.Core: teaches the small model of this repository a task with LoReFT, and shows before and
// after on rows it never saw.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/quickstart.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"
#r "SkiaSharp.dll"
#r "ScottPlot.dll"

open System
open System.IO
open System.Runtime.InteropServices
open System.Text.Json
open System.Threading
open TorchSharp
open Reft.Core
open Reft.Core.Syntax

let root = Path.Combine(__SOURCE_DIRECTORY__, "..")

let output =
    Path.Combine(root, "artifacts", "quickstart-fsharp") |> Path.GetFullPath

let modelFolder = Path.Combine(root, "models", "base-3.8m")

// ---- the task: rows of a prompt and its answer

type Row = { Prompt: string; Answer: string }

let rows file =
    File.ReadAllLines(Path.Combine(root, "examples", "data", file))
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        let text (name: string) =
            json.RootElement.GetProperty(name).GetString() |> string

        { Prompt = text "prompt"
          Answer = text "completion" })

let train, heldOut = rows "topics.train.jsonl", rows "topics.heldout.jsonl"
let answers = heldOut |> Array.map _.Answer |> Array.distinct

// ---- the model

let loaded = Checkpoint.load modelFolder
let model = loaded.Model
let tokenizer = TokenizerFile.load modelFolder

// The answer, and the end of the text after it, are what is learnt.
let example row =
    Array.append (tokenizer.EncodeCompletion row.Answer) [| loaded.EosIds.Head |]
    |> Example.ofCompletion (tokenizer.EncodePrompt row.Prompt)

let share hits =
    hits |> Array.averageBy (fun hit -> if hit then 1.0 else 0.0)

let batched f (rows: Row[]) =
    rows |> Array.chunkBySize 32 |> Array.collect f

/// What the model says after each prompt, with interventions bound or none.
let says bound =
    batched (fun rows ->
        let options =
            { Generate.options 6 model with
                StopIds = loaded.EosIds }

        [ for row in rows -> tokenizer.EncodePrompt row.Prompt ]
        |> Generate.complete options bound model
        |> Array.map (fun ids -> tokenizer.Decode(ids, true)))

/// The likeliest of the possible answers to each prompt. All of them are one token long.
let ranksFirst bound =
    batched (fun rows ->
        [ for row in rows do
              for answer in answers do
                  tokenizer.EncodeCompletion answer
                  |> Example.ofCompletion (tokenizer.EncodePrompt row.Prompt) ]
        |> Batch.create PaddingSide.Right
        |> Score.logprobs bound model
        |> Array.map Array.last
        |> Array.chunkBySize answers.Length
        |> Array.map (fun scores -> Array.zip scores answers |> Array.maxBy fst |> snd))

let score bound =
    let right (found: string[]) =
        Array.map2 (fun row answer -> row.Answer = answer) heldOut found |> share

    {| Says = says bound heldOut |> right
       Ranks = ranksFirst bound heldOut |> right |}

// ---- what is trained: at the outputs of all layers, the first 7 and the last 7 tokens of the prompt are moved within
// 4 directions. The model's own weights never change.

let spec =
    loreft 4 |> at (blockOutput [ 0 .. model.Config.Layers - 1 ]) (first 7 + last 7)

let theta = Reft.init spec model.Config (Rng.ofSeed 42L)

let percent =
    100.0 * float theta.TrainableCount
    / float (loaded.Tensors.Values |> Seq.sumBy _.numel())

let before = score []
printfn $"Before: says the answer {before.Says:P1}, ranks it first of four {before.Ranks:P1}"
printfn $"Training {theta.TrainableCount:N0} parameters, {percent:F2}%% of the model's"

let report (progress: FitProgress) (_: FitState) =
    if progress.Report.Step % 25 = 0 then
        let heldOut =
            match progress.Evaluation with
            | (_, loss) :: _ -> $"   held out {loss:F3}"
            | [] -> ""

        printfn $"  step %3d{progress.Report.Step} of {progress.TotalSteps}   loss {progress.Report.Loss:F3}{heldOut}"

let result =
    TrainState.create (Rng.ofSeed 42L) theta
    |> Fit.run
        { Fit.defaults with
            LearningRate = 2e-3
            Epochs = 3 }
        (FitTask.create (Loss.reft spec model) (train |> Array.map example)
         |> FitTask.holdingOut PaddingSide.Right 8 (heldOut |> Array.map example))
        report
        CancellationToken.None

let bound = Reft.bind spec result.State.Parameters
let after = score [ bound ]
printfn $"After:  says the answer {after.Says:P1}, ranks it first of four {after.Ranks:P1}"

// ---- before and after, the adapter, the picture

for row, was, now in Array.zip3 heldOut[..2] (says [] heldOut[..2]) (says [ bound ] heldOut[..2]) do
    printfn $"\n{row.Prompt}\n  before: %A{was}\n  after:  %A{now}"

let adapterFolder = Path.Combine(output, "adapter")
Adapter.save adapterFolder model.Config loaded.Fingerprint spec result.State.Parameters

let adapter =
    Adapter.load Registry.standard (Some loaded.Fingerprint) model.Config adapterFolder

let reloaded = score [ Reft.bind adapter.Spec adapter.Parameters ]
printfn $"\nThe adapter: {adapterFolder}"
printfn $"Loaded again, it scores the same: {reloaded = after}"

// A script has no deps.json that says where native libraries lie.
NativeLibrary.SetDllImportResolver(
    typeof<SkiaSharp.SKBitmap>.Assembly,
    fun name _ _ ->
        Path.Combine(
            __SOURCE_DIRECTORY__,
            "Scripts/bin/Release/net10.0/runtimes",
            RuntimeInformation.RuntimeIdentifier,
            "native",
            name + ".so"
        )
        |> NativeLibrary.Load
)

let plot = new ScottPlot.Plot()

let add (name: string) (points: (int * float) list) =
    let curve =
        plot.Add.Scatter(points |> List.map (fst >> float) |> List.toArray, points |> List.map snd |> List.toArray)

    curve.LegendText <- name

result.History
|> List.map (fun step -> step.Report.Step, step.Report.Loss)
|> add "training"

result.History
|> List.choose (fun step ->
    step.Evaluation
    |> List.tryHead
    |> Option.map (fun (_, loss) -> step.Report.Step, loss))
|> add "held out"

plot.XLabel "step"
plot.YLabel "loss per token"
plot.ShowLegend ScottPlot.Alignment.UpperRight |> ignore
let picture = Path.Combine(output, "loss.png")
plot.SavePng(picture, 800, 500) |> ignore
printfn $"The loss curve: {picture}"

if reloaded <> after || after.Ranks <= before.Ranks then
    exit 1
