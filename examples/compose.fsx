// A method that no paper has, built from parts in F# and compared with LoReFT at about as many parameters.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/compose.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
open System.Text.Json
open System.Threading
open Reft.Core
open Reft.Core.Syntax

let root = Path.Combine(__SOURCE_DIRECTORY__, "..")
let modelFolder = Path.Combine(root, "models", "base-3.8m")
let loaded = Checkpoint.load modelFolder
let model = loaded.Model
let tokenizer = TokenizerFile.load modelFolder

// ---- the method

/// An edit of our own: Δ = v ⊙ tanh h, v = 0 at the start.
let shift =
    Intervention.define "tanh-shift" (fun width _ -> Parameters.ofSeq [ ("v", dsharp.zeros width) ]) (fun theta _ h ->
        theta["v"] * dsharp.tanh h)

// Two edits of the same h add up, σ(w·h + b) says how much of them each token gets, and a learnt vector within two
// directions is added after them. In training, 5 % of the numbers of the whole change are dropped.
let composed = gate Gates.sigmoid (loreft 2 + shift) >=> lobireft 2 |> dropout 0.05

// ---- the task: rows of a prompt and its answer, which is one token and then the end of the text

let rows file =
    File.ReadAllLines(Path.Combine(root, "examples", "data", file))
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        let text (name: string) =
            json.RootElement.GetProperty(name).GetString() |> string

        text "prompt", text "completion")

let train, heldOut = rows "topics.train.jsonl", rows "topics.heldout.jsonl"
let answers = heldOut |> Array.map snd |> Array.distinct

let example (prompt, answer) =
    Array.append (tokenizer.EncodeCompletion answer) [| loaded.EosIds.Head |]
    |> Example.ofCompletion (tokenizer.EncodePrompt prompt)

/// log p of the answer and of the end after it.
let logprobs bound (rows: (string * string)[]) =
    rows
    |> Array.chunkBySize 128
    |> Array.collect (fun rows ->
        [ for row in rows -> example row ]
        |> Batch.create PaddingSide.Right
        |> Score.logprobs bound model)
    |> Array.map (fun scores -> scores[scores.Length - 2 ..])

/// The mean loss of a token on held-out rows.
let lossOf bound =
    logprobs bound heldOut |> Array.averageBy (Array.average >> float >> (~-))

/// The share of the held-out rows whose answer is the likeliest of the four.
let rightOf bound =
    Array.allPairs (Array.map fst heldOut) answers
    |> logprobs bound
    |> Array.chunkBySize answers.Length
    |> Array.map (fun scores -> Array.zip answers scores |> Array.maxBy (fun (_, score) -> score[0]) |> fst)
    |> Array.map2 (fun (_, answer) found -> if answer = found then 1.0 else 0.0) heldOut
    |> Array.average

// ---- both methods, trained alike

let spec what =
    what |> at (blockOutput [ 0 .. model.Config.Layers - 1 ]) (first 7 + last 7)

let options =
    { Fit.defaults with
        LearningRate = 2e-3
        Epochs = 1 }

let compare name what =
    let spec = spec what
    let theta = Reft.init spec model.Config (Rng.ofSeed 42L)
    use atStart = Reft.bind spec theta
    let before = lossOf [ atStart ]

    let result =
        TrainState.create (Rng.ofSeed 42L) theta
        |> Fit.run
            options
            (FitTask.create (Loss.reft spec model) (Array.map example train))
            (fun _ _ -> ())
            CancellationToken.None

    use trained = Reft.bind spec result.State.Parameters
    let after = lossOf [ trained ]
    printfn $"{name, -10}{theta.TrainableCount, 12:N0}{before, 13:F3}{after, 12:F3}{rightOf [ trained ], 20:P1}"
    after, result.State.Parameters

let baseLoss = lossOf []
printfn $"composed = {composed.Form}\n"
printfn "            parameters  loss before  loss after  right of 4 answers"
printfn $"base model{0, 12}{baseLoss, 13:F3}{baseLoss, 12:F3}{rightOf [], 20:P1}"
let _ = compare "LoReFT" (loreft 4)
let loss, theta = compare "composed" composed

// ---- it is saved as data, and reloads where its own part is known

let folder = Path.Combine(root, "artifacts", "compose-fsharp")
Adapter.save folder model.Config loaded.Fingerprint (spec composed) theta

let adapter =
    Adapter.load (Registry.standard |> Registry.add shift) (Some loaded.Fingerprint) model.Config folder

let reloaded = lossOf [ Reft.bind adapter.Spec adapter.Parameters ]
printfn $"\nSaved and loaded again, its loss is the same: {reloaded = loss}"

if reloaded <> loss || loss >= baseLoss then
    exit 1
