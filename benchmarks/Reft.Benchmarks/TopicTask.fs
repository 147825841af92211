/// The task of the quickstart, on the model of this repository: a sentence's topic, one of four words.
module Reft.Benchmarks.TopicTask

open System.IO
open System.Text.Json
open System.Threading
open Reft.Core

type Row = { Prompt: string; Answer: string }

let private read name : Row[] =
    File.ReadAllLines(Path.Combine(Machine.repository.Value, "examples", "data", name))
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        let text (name: string) =
            json.RootElement.GetProperty(name).GetString() |> string

        { Prompt = text "prompt"
          Answer = text "completion" })

let modelFolder () : string =
    Path.Combine(Machine.repository.Value, "models", "base-3.8m")

let trainRows () : Row[] = read "topics.train.jsonl"
let heldOut () : Row[] = read "topics.heldout.jsonl"

/// What is learnt of a row: the answer and the token that ends it.
let private example (tokenizer: TextTokenizer) (model: LoadedModel) (row: Row) =
    Example.ofCompletion
        (tokenizer.EncodePrompt row.Prompt)
        [| yield! tokenizer.EncodeCompletion row.Answer; List.head model.EosIds |]

let private batched size f (rows: Row[]) =
    rows |> Array.chunkBySize size |> Array.collect f

/// The mean of −log p over all tokens of the rows but their first.
let textLoss (tokenizer: TextTokenizer) (model: LoadedModel) (rows: Row[]) : float =
    rows
    |> batched 32 (fun rows ->
        [ for row in rows do
              Example.ofCompletion (tokenizer.EncodePrompt row.Prompt) (tokenizer.EncodeCompletion row.Answer) ]
        |> Batch.create PaddingSide.Right
        |> Score.logprobs [] model.Model
        |> Array.collect id)
    |> Array.averageBy (fun p -> -(float p))

/// The part of the rows whose generated text is the answer, and the mean loss of the answers.
let accuracy (tokenizer: TextTokenizer) (model: LoadedModel) spec (theta: Parameters) (rows: Row[]) : float * float =
    use bound = Reft.bind spec theta

    let options =
        { Generate.options 6 model.Model with
            StopIds = model.EosIds }

    let said =
        rows
        |> batched 32 (fun rows ->
            [ for row in rows -> tokenizer.EncodePrompt row.Prompt ]
            |> Generate.complete options [ bound ] model.Model
            |> Array.map (fun ids -> tokenizer.Decode(ids, true)))

    let right =
        Array.map2 (fun row text -> if row.Answer = text then 1.0 else 0.0) rows said

    let loss =
        rows
        |> Array.map (example tokenizer model)
        |> Array.chunkBySize 32
        |> Seq.map (List.ofArray >> Batch.create PaddingSide.Right)
        |> Trainer.evaluate (Loss.reft spec model.Model) theta

    Array.average right, loss

/// The parameters after the quickstart's training; the caller's.
let train (tokenizer: TextTokenizer) (model: LoadedModel) (spec: ReftSpec) : TrainState =
    let theta = Reft.init spec model.Config (Rng.ofSeed 42L)

    let result =
        TrainState.create (Rng.ofSeed 42L) theta
        |> Fit.run
            { Fit.defaults with
                LearningRate = 2e-3
                Epochs = 3 }
            (trainRows ()
             |> Array.map (example tokenizer model)
             |> FitTask.create (Loss.reft spec model.Model))
            (fun _ _ -> ())
            CancellationToken.None

    result.State.Train
