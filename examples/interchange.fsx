// Where does a model keep what it has read? Two sentences differ in one word and go on differently. Hidden states of one run
// are put into the other, one place at a time: where that turns the answer, the place carries the difference. Such maps are
// called causal traces, and the swap an interchange intervention.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/interchange.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
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

// ---- two runs, of as many tokens: row for row, a token of one stands for a token of the other

let read, donor =
    "The ship went out at last to the", "The Congress went out at last to the"

let prompt (text: string) = tokenizer.EncodePrompt text
let tokens = prompt read |> Array.map (fun id -> tokenizer.Decode([| id |], false))
require "the two sentences have as many tokens" (tokens.Length = (prompt donor).Length)

/// log p(" sea") − log p(" Senate") of the next token: which of the two the model would rather say, and by how much.
let preference bound (text: string) =
    [ for word in [ " sea"; " Senate" ] -> Example.ofCompletion (prompt text) (tokenizer.EncodeCompletion word) ]
    |> Batch.create PaddingSide.Right
    |> Score.logprobs bound model
    |> fun scores -> float (Array.last scores[0] - Array.last scores[1])

let ofRead, ofDonor = preference [] read, preference [] donor
printfn $"log p(\" sea\") − log p(\" Senate\")\n  {read}: {ofRead:F2}\n  {donor}: {ofDonor:F2}\n"
require "the two sentences go on differently" (ofRead > 2.0 && ofDonor < -2.0)

// ---- the donor's hidden states at every layer and token, in one run

let sites = blockInput [ 0 ] @ blockOutput [ 0 .. model.Config.Layers - 1 ]

/// Activations of the donor at one token, under the name that the interchange asks for. The run that reads them has two rows,
/// one for each word that is scored, and row i reads row i: so the donor is run twice over too.
let donated token =
    let batch =
        List.replicate 2 (Example.ofText (prompt donor))
        |> Batch.create PaddingSide.Right

    model
    |> Reft.collect "donor" sites (span token 1) (Batch.context model batch) (Batch.ids model.Device batch)

/// How far the answer turns, from 0 (as before) to 1 (the donor's answer), if the donor's state stands at one site and token.
let turned site token =
    // An interchange has no parameters: nothing is trained here.
    use bound =
        Reft.bind (interchange "donor" |> at [ site ] (span token 1)) Parameters.empty

    let found = preference [ bound |> Reft.withSources (donated token) ] read
    (ofRead - found) / (ofRead - ofDonor)

let map =
    [ for site in sites -> site, [ for token in 0 .. tokens.Length - 1 -> turned site token ] ]

// ---- the map: one row for each site, one column for each token

let show (tokens: string seq) =
    tokens |> Seq.map (fun token -> $"{token.Trim(), 9}") |> String.concat ""

printfn $"""per cent of the way{show tokens}"""

for site, row in map do
    let cells =
        row
        |> List.map (fun turn -> $"{round (100.0 * turn) + 0.0, 9:F0}")
        |> String.concat ""

    printfn $"{site, -24}{cells}"

// What differs at the input is one word, so that it alone turns everything there; at the output of the last block only the
// last token is still read. Between the two the map shows where attention has carried it.
let at' site = List.item site map |> snd

let word =
    Array.zip (prompt read) (prompt donor) |> Array.findIndex (fun (a, b) -> a <> b)

let biggest row =
    row |> List.indexed |> List.maxBy snd |> fst

require "at the input the word that differs carries the answer" (biggest (at' 0) = word && (at' 0)[word] > 0.99)
require "at the end the last token carries it" (List.last (List.last map |> snd) > 0.99)

for (site, row), (later, next) in List.pairwise map do
    if biggest row <> biggest next then
        printfn
            $"\nBetween {site} and {later} the answer moves from '{tokens[biggest row]}' to '{tokens[biggest next]}'."
