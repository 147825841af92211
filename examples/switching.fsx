// An edit that has been trained can be turned up, switched off and negated: `k * edit` is an intervention too, with the same
// parameters. Here an edit learns to turn any sentence to the sea; negated it turns the sentence to affairs of state.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/switching.fsx
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

// ---- what is learnt: after each prompt, the first continuation is preferred to the second

let pairs =
    [| "They came at last to", " the ship, and the whale was alongside.", " the treaty, and the Senate approved it."
       "It was", " the white whale that swam in the sea.", " the public debt that was paid by the Treasury."
       "We have seen",
       " the waves break over the deck of the ship.",
       " the revenue rise over the estimates of the year."
       "He spoke of", " the boats and the harpoons.", " the laws and the courts."
       "The old man looked at", " the sails and the sea.", " the bill and the report."
       "All the men wished for", " oil, and a good wind.", " peace, and a good law."
       "There was nothing but", " water all round the boat.", " commerce between the nations."
       "She waited for", " the ship to come in from the ocean.", " the Congress to act upon the message." |]
    |> Array.map (fun (prompt, chosen, rejected) ->
        let after completion =
            Example.ofCompletion (tokenizer.EncodePrompt prompt) (tokenizer.EncodeCompletion completion)

        after chosen |> Example.preferredTo (after rejected))

// LobiReFT of rank 1 adds one learnt vector, whatever the hidden state is: its negative is the opposite everywhere. (LoReFT puts
// one value in place of another; minus that change leads to neither.) It acts on every token, those generated included.
let edit = lobireft 1

let placed edit =
    edit |> at (blockOutput [ 1 ]) all |> ReftSpec.during Phase.Always

// RePS trains an edit for just this use: times a positive factor it is to bring about what is chosen, and negated what is
// rejected. A factor is drawn for each pair of each step.
let reps =
    { Reps.defaults with
        Factors = [ 1.0; 2.0 ] }

let theta = Reft.init (placed edit) model.Config (Rng.ofSeed 42L)

let trained =
    TrainState.create (Rng.ofSeed 42L) theta
    |> Fit.run
        { Fit.defaults with
            LearningRate = 1.0
            MaxSteps = Some 30 }
        (FitTask.create (Reps.loss reps (model |> Tuned.reft (placed edit))) pairs)
        (fun _ _ -> ())
        CancellationToken.None
    |> _.State.Parameters

/// The edit times a factor, with what was learnt: scaling changes no name of a parameter.
let times (factor: float) =
    Reft.bind (factor * edit |> placed) trained

// ---- what it does, on prompts of which it has seen none

let prompts =
    [ "The people of"
      "I have always loved"
      "In the morning we saw"
      "Nothing is so great as" ]

let sea, state =
    [ " whale"; " ship"; " sea"; " boat" ], [ " Congress"; " law"; " treaty"; " Government" ]

/// The mean log-probability of some words as the next one.
let likely bound words =
    [ for prompt in prompts do
          for word in words -> Example.ofCompletion (tokenizer.EncodePrompt prompt) (tokenizer.EncodeCompletion word) ]
    |> Batch.create PaddingSide.Right
    |> Score.logprobs bound model
    |> Array.averageBy (Array.last >> float)

let leaning bound = likely bound sea - likely bound state

let says bound =
    [ tokenizer.EncodePrompt prompts[1] ]
    |> Generate.complete (Generate.options 12 model) bound model
    |> fun ids -> tokenizer.Decode(ids[0], true)

let show (name: string) bound =
    printfn $"{name, -12}{likely bound sea, 8:F2}{likely bound state, 8:F2}   {prompts[1]}{says bound}"
    leaning bound

printfn "             log p of words of"
printfn "edit             sea   state"
let unedited = show "none" []

let found =
    [ for factor in [ 2.0; 1.0; 0.0; -1.0; -2.0 ] -> show $"times {factor:F0}" [ times factor ] ]

// Edits that are attached one after another act in this order: the negative after the edit takes it off again.
let undone = show "1, then -1" [ times 1.0; times -1.0 ]

require
    "a greater factor turns it further to the sea"
    (found |> List.pairwise |> List.forall (fun (more, less) -> more > less + 0.2))

require "times 0 is the base model, to the last bit" (found[2] = unedited)
require "the edit and then its negative are the base model, but for rounding" (abs (undone - unedited) < 0.1)
