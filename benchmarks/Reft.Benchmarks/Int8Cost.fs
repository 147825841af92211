/// What int8 weights cost in accuracy and save in memory, on the model of this repository.
module Reft.Benchmarks.Int8Cost

open System
open Reft.Core
open Reft.Core.Syntax
open Reft.Benchmarks.Arguments

let private formats = [ "stored", WeightFormat.AsStored; "int8", WeightFormat.Int8 ]

let private load format =
    Checkpoint.loadWith
        { Checkpoint.defaults () with
            Weights = format }
        (TopicTask.modelFolder ())

let private relative (exact: float) (other: float) =
    $"{100.0 * (other / exact - 1.0):F2} %%"

let run (options: Arguments) : int =
    Machine.start options.Threads
    printfn "## int8"
    printfn ""
    printfn $"{Machine.facts ()}"
    printfn ""
    let tokenizer = TokenizerFile.load (TopicTask.modelFolder ())
    let heldOut = TopicTask.heldOut ()
    let models = formats |> List.map (fun (name, format) -> name, load format)
    let stored, int8 = snd models[0], snd models[1]
    let config = stored.Config

    let spec =
        loreft 4 |> at (blockOutput [ 0 .. config.Layers - 1 ]) (first 7 + last 7)

    let text =
        models
        |> List.map (fun (_, model) -> heldOut |> TopicTask.textLoss tokenizer model)

    printfn
        $"### the model itself, in {stored.Model.Dtype}: {heldOut.Length} rows that no training saw, every token scored"

    Table.print
        [ ""; "stored"; "int8"; "change" ]
        [ [ "loss"; $"{text[0]:F4}"; $"{text[1]:F4}"; relative text[0] text[1] ]
          [ "perplexity"
            $"{exp text[0]:F3}"
            $"{exp text[1]:F3}"
            relative (exp text[0]) (exp text[1]) ]
          [ "weights, MB"
            $"{float stored.WeightBytes / 1e6:F2}"
            $"{float int8.WeightBytes / 1e6:F2}"
            relative (float stored.WeightBytes) (float int8.WeightBytes) ] ]

    let adapters =
        models
        |> List.map (fun (name, model) -> name, TopicTask.train tokenizer model spec)

    printfn $"### the quickstart's LoReFT: the right word, and the loss of the answers, on {heldOut.Length} rows"

    Table.print
        [ "trained on"; "used on"; "right"; "loss" ]
        [ for trained, state in adapters do
              for used, model in models do
                  let right, loss =
                      heldOut |> TopicTask.accuracy tokenizer model spec state.Parameters

                  [ trained; used; $"{100.0 * right:F1} %%"; $"{loss:F4}" ] ]

    let prompts = [ for row in heldOut[..7] -> tokenizer.EncodePrompt row.Prompt ]
    let batch = Subject.batch config 8 128 96 false

    for name, work in
        [ "8 × 16 tokens generated", (fun model -> Decoding.complete 16 [] model prompts)
          "a LoReFT step on 8 × 128 tokens",
          (fun model -> Subject.step (Loss.reft spec model) (Subject.fresh spec config) batch) ] do
        let series =
            Timing.interleave (plan options) [ for name, model in models -> name, work model.Model ]

        Table.print [ name; "wall ms"; "CPU ms" ] (Table.series series)
        Table.print [ name; "wall"; "CPU" ] [ Table.ratio "int8 ÷ stored" (Timing.ratio series[1] series[0]) ]

    for _, state in adapters do
        TrainState.dispose state

    for _, model in models do
        (model :> IDisposable).Dispose()

    0
