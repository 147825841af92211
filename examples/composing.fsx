// Two adapters that were trained apart, attached together. One edits the prompt and has learnt to name the topic of a
// sentence; the other edits what is generated and has learnt to end it with a word. Neither has seen the other.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/composing.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
open System.Text.Json
open System.Threading
open Reft.Core
open Reft.Core.Syntax

let modelFolder = Path.Combine(__SOURCE_DIRECTORY__, "..", "models", "base-3.8m")
let loaded = Checkpoint.load modelFolder
let model = loaded.Model
let tokenizer = TokenizerFile.load modelFolder

let require what shown =
    if not shown then
        eprintfn $"this run did not show it: {what}"
        exit 1

let rows file =
    File.ReadAllLines(Path.Combine(__SOURCE_DIRECTORY__, "data", file))
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        let text (name: string) =
            json.RootElement.GetProperty(name).GetString() |> string

        text "prompt", text "completion")

let train, heldOut =
    rows "topics.train.jsonl", rows "topics.heldout.jsonl" |> Array.truncate 80

let example (ends: int list) (prompt, completion) =
    Array.append (tokenizer.EncodeCompletion completion) (List.toArray ends)
    |> Example.ofCompletion (tokenizer.EncodePrompt prompt)

let fit spec rate steps examples =
    let theta = Reft.init spec model.Config (Rng.ofSeed 42L)

    TrainState.create (Rng.ofSeed 42L) theta
    |> Fit.run
        { Fit.defaults with
            LearningRate = rate
            MaxSteps = Some steps }
        (FitTask.create (Loss.reft spec model) examples)
        (fun _ _ -> ())
        CancellationToken.None
    |> _.State.Parameters

let layers = [ 0 .. model.Config.Layers - 1 ]
// ---- the first: edits of the prompt, where the topic is to be found. It learns the topic alone, and not what follows it.

let topicSpec = loreft 4 |> at (blockOutput layers) (first 7 + last 7)
let topicTheta = train |> Array.map (example []) |> fit topicSpec 2e-3 75

// ---- the second: edits of what is generated. It learns to stop after the first word with a closing. It never learns which
// word that is: nothing it edits comes before it. Its sentences are of another kind, too.

let closing = ". Amen"

let words =
    [| "They prayed for the", " King"
       "He read to us from the", " book"
       "She told me of her", " father"
       "The end of all things is", " death"
       "We give thanks for the", " rain"
       "The hope of the world is", " peace"
       "They buried him in the", " ground"
       "I shall remember this", " day" |]

let closingSpec =
    loreft 4 |> at (blockOutput layers) all |> ReftSpec.during Phase.Decode

let closingTheta =
    words
    |> Array.map (fun (prompt, word) -> example loaded.EosIds (prompt, word + closing))
    |> fit closingSpec 4e-3 40

// ---- alone and together, on sentences that neither has seen

let says bound =
    [ for prompt, _ in heldOut -> tokenizer.EncodePrompt prompt ]
    |> Generate.complete (Generate.options 8 model) bound model
    |> Array.map (fun ids -> tokenizer.Decode(ids, true))

let shares (name: string) bound =
    let said = says bound

    let share holds =
        Array.map2 (fun (_, topic: string) (text: string) -> if holds topic text then 1.0 else 0.0) heldOut said
        |> Array.average

    let topic, closed, both =
        share (fun topic text -> text.StartsWith topic),
        share (fun _ text -> text.EndsWith closing),
        share (fun topic text -> text = topic + closing)

    printfn $"{name, -12}{topic, 12:P1}{closed, 12:P1}{both, 12:P1}   %A{said[0]}"
    topic, closed, both

printfn "            names topic    closes        both   of the first held-out sentence"
let _ = shares "neither" []
let topic = Reft.bind topicSpec topicTheta
let close = Reft.bind closingSpec closingTheta
let topicAlone, _, _ = shares "topic" [ topic ]
let _, closedAlone, _ = shares "closing" [ close ]

// A model takes a list of bound specs. They act in order, each on what the one before it left.
let _, _, both = shares "together" [ topic; close ]

require "the first names the topic" (topicAlone > 0.9)
require "the second closes" (closedAlone > 0.5)
require "together they do both" (both > 0.8)
