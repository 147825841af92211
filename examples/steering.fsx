// Steering with activation addition: nothing is trained. The difference between what the model holds of two sets of prompts
// is added to its hidden states, and what it says leans to one of them. The C# twin, Steering, prints the same numbers.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/steering.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
open TorchSharp
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

// Two sets of prompts that differ in what they are about and in little else. They are all that says where to steer.
let sea =
    [ "The whale rose beside the ship."
      "The sailors lowered the boats."
      "The captain stood upon the deck."
      "The waves broke over the bow."
      "They sailed round the cape."
      "The harpooneer took up his lance." ]

let state =
    [ "The Senate approved the treaty."
      "The Congress passed the bill."
      "The President signed the law."
      "The Treasury paid the public debt."
      "They reduced the revenue."
      "The court heard the case." ]

let prompts =
    [ "The people of the"
      "I have always loved the"
      "In the morning we saw the"
      "Nothing is so great as the" ]

let seaWords = [ " whale"; " ship"; " sea"; " boat" ]
let stateWords = [ " Congress"; " law"; " treaty"; " Government" ]

// Where: the output of the second of four blocks. There a sentence has been read, and there are blocks left that go by what
// it says. What: the mean over the sentences' last tokens, which have seen the whole sentence.
let site = blockOutput [ 1 ]

let collected texts =
    let batch =
        [ for text in texts -> tokenizer.EncodePrompt text |> Example.ofText ]
        |> Batch.create PaddingSide.Right

    model
    |> Reft.collect "steering" site (last 1) (Batch.context model batch) (Batch.ids model.Device batch)
    |> fun found -> found.Head.Values.``to`` torch.float32

let vector = ReadingVector.ofMeans (collected sea) (collected state)
printfn $"‖v‖ = {vector.norm().item<float32>():F2}\n"

/// The mean log-probability of some words as the next one after the prompts.
let logProbability bound words =
    [ for prompt in prompts do
          for word in words -> Example.ofCompletion (tokenizer.EncodePrompt prompt) (tokenizer.EncodeCompletion word) ]
    |> Batch.create PaddingSide.Right
    |> Score.logprobs bound model
    |> Array.averageBy (Array.last >> float)

let says bound =
    [ tokenizer.EncodePrompt prompts[2] ]
    |> Generate.complete (Generate.options 12 model) bound model
    |> fun ids -> tokenizer.Decode(ids[0], true)

printfn "         log p of words of"
printfn "α            sea   state"

let leanings =
    [ for strength in [ -1.0; -0.5; 0.0; 0.5; 1.0 ] do
          let steer =
              ActivationAddition.create
                  { ActivationAddition.options with
                      Coefficient = strength }
                  vector

          // Every token is moved, those that are generated too: the phase is not only the prompt.
          let spec = steer |> at site all |> ReftSpec.during Phase.Always
          use bound = Reft.bind spec (Reft.init spec model.Config (Rng.ofSeed 1L)) // the vector is its only parameter

          let ofSea, ofState =
              logProbability [ bound ] seaWords, logProbability [ bound ] stateWords

          printfn $"{strength, 4:F1}{ofSea, 12:F2}{ofState, 8:F2}   {prompts[2]}{says [ bound ]}"
          ofSea - ofState ]

// Held-out evidence: the prompts above are in neither set, and the words were not chosen by the vector.
require
    "a greater strength leans further to the sea"
    (leanings |> List.pairwise |> List.forall (fun (less, more) -> more > less + 0.5))

require "α = 0 is the base model" (leanings[2] = logProbability [] seaWords - logProbability [] stateWords)
