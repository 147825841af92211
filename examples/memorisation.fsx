// How much can an edit remember? ConsReFT of rank 1 writes one learnt number along one learnt direction: 257 numbers at each
// layer. It is trained to recall a passage that the model has never seen.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/memorisation.fsx
//
// The paper's models of billions of parameters hold a long passage in one such edit at one token of the prompt. This model of
// four blocks, 256 wide, does not: so the edit acts at every token here, those of the passage too, and the question is in how
// many blocks it must.
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
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

let prompt = tokenizer.EncodePrompt "Tell me:"

let passage = tokenizer.EncodeCompletion " The lamp burned all night in the window,"

let example = Example.ofCompletion prompt passage

/// The same number and direction at all tokens of a site, of the prompt and after it.
let everywhere edit layers =
    edit |> at (blockOutput layers) all |> tied |> ReftSpec.during Phase.Always

let recall (spec: ReftSpec) =
    let theta = Reft.init spec model.Config (Rng.ofSeed 42L)

    let trained =
        TrainState.create (Rng.ofSeed 42L) theta
        |> Fit.run
            { Fit.defaults with
                LearningRate = 0.05
                MaxSteps = Some 100 }
            // One row, again and again: to memorise is to overfit, and here that is what is wanted.
            (FitTask.create (Loss.reft spec model) [ example ])
            (fun _ _ -> ())
            CancellationToken.None

    let bound = Reft.bind spec trained.State.Parameters

    let said =
        [ prompt ]
        |> Generate.complete (Generate.options passage.Length model) [ bound ] model
        |> Array.head

    {| Parameters = theta.TrainableCount
       Loss = (List.last trained.History).Report.Loss
       // Greedy decoding goes on from its own tokens: what is recalled ends at the first wrong one.
       Recalled = Seq.zip said passage |> Seq.takeWhile (fun (a, b) -> a = b) |> Seq.length
       Said = tokenizer.Decode(said, true) |}

let unedited =
    [ example ]
    |> Batch.create PaddingSide.Right
    |> Score.logprobs [] model
    |> fun scores -> -(scores[0][prompt.Length - 1 ..] |> Array.average)

printfn $"the passage has {passage.Length} tokens; the base model's loss on it is {unedited:F2} a token\n"
printfn "edited                 numbers   loss   recalled"

let show (name: string) edit layers =
    let found = recall (everywhere edit layers)
    printfn $"{name, -20}{found.Parameters, 10}{found.Loss, 7:F2}{found.Recalled, 11}  {found.Said}"
    found.Recalled

let all' = [ 0 .. model.Config.Layers - 1 ]

let alone =
    [ for layer in [ List.head all'; List.last all' ] -> show $"ConsReFT, block {layer}" (consreft 1) [ layer ] ]

let growing =
    [ for count in 2 .. all'.Length -> show $"ConsReFT, blocks 0-{count - 1}" (consreft 1) (List.take count all') ]

// LoReFT writes a number that depends on the token it edits, W h + b in place of a constant: so that it can say something else
// at each step, and recalls with less loss.
let _ = show "LoReFT, blocks 0-3" (loreft 1) all'

require "rank 1 in all blocks recalls the whole passage" (List.last growing = passage.Length)
require "in one block it recalls less" (List.max alone < passage.Length)
