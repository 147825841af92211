// What does the model know at which layer? Its hidden states are collected, and a probe is trained on those of each layer: a
// linear map that reads the topic of a sentence from them. The model is not changed; what a probe can read is there.
//
//   dotnet fsi build.fsx build
//   dotnet fsi examples/probing.fsx
//
#I "Scripts/bin/Release/net10.0"
#r "TorchSharp.dll"
#r "Reft.Core.dll"

open System.IO
open System.Text.Json
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

// ---- sentences and their topics. The two files share no word of content: a probe that knows the words it was trained on
// knows nothing about the held-out ones, unless the model puts words of one topic near one another.

let rows file =
    File.ReadAllLines(Path.Combine(__SOURCE_DIRECTORY__, "data", file))
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        let text (name: string) =
            json.RootElement.GetProperty(name).GetString() |> string

        text "prompt", text "completion")

let train, heldOut = rows "topics.train.jsonl", rows "topics.heldout.jsonl"
let topics = train |> Array.map snd |> Array.distinct

let labels rows =
    rows
    |> Array.map (fun (_, topic) -> Array.findIndex ((=) topic) topics |> int64)
    |> torch.tensor

// ---- hidden states: the input of the first block, that is, the embeddings, and the output of each block

let sites = blockInput [ 0 ] @ blockOutput [ 0 .. model.Config.Layers - 1 ]

/// For each site two matrices [rows, width]: the hidden state of each row's last token, and the mean over its tokens.
let collected rows =
    let batches =
        [ for rows in Array.chunkBySize 40 rows do
              let batch =
                  [ for prompt, _ in rows -> tokenizer.EncodePrompt prompt |> Example.ofText ]
                  |> Batch.create PaddingSide.Right

              // One entry for each site, with the values [n, width] of all tokens, and the row that each is of.
              model
              |> Reft.collect "probed" sites all (Batch.context model batch) (Batch.ids model.Device batch)
              |> List.map (fun found ->
                  let ofRow =
                      (found.Values.``to`` torch.float32)
                          .split(Array.countBy id found.Rows |> Array.map (snd >> int64))

                  [ for h in ofRow -> h[-1] ], [ for h in ofRow -> h.mean [| 0L |] ]) ]

    [ for site in 0 .. sites.Length - 1 ->
          let stacked part =
              batches |> List.collect (List.item site >> part) |> dsharp.stack

          stacked fst, stacked snd ]

// ---- the probe: one linear map and a softmax, by gradient descent on all rows at once

let probe (x: Tensor) (y: Tensor) =
    // Coordinates differ in size by layer: scaled alike, one learning rate serves all.
    let mean, deviation = x.mean [| 0L |], x.std 0L + 1e-6
    let scaled (x: Tensor) = (x - mean) / deviation

    let loss (theta: Tensor) =
        let logits = scaled x |> dsharp.matmul (theta.view (-1L, int64 topics.Length))
        torch.nn.functional.cross_entropy (logits, y) + 0.01f * theta.square().sum()

    let start = torch.zeros (x.shape[1] * int64 topics.Length)

    let theta =
        (start, [ 1..100 ])
        ||> List.fold (fun theta _ -> theta - 0.5f * dsharp.grad loss theta)

    fun (x: Tensor) -> (scaled x |> dsharp.matmul (theta.view (-1L, int64 topics.Length))).argmax 1L

let accuracy (probe: Tensor -> Tensor) x (y: Tensor) =
    ((probe x).eq(y).``to`` torch.float32).mean().item<float32>() |> float

let found =
    List.map2
        (fun (last, mean) (heldOutLast, heldOutMean) ->
            let accuracyOf x held =
                accuracy (probe x (labels train)) held (labels heldOut)

            accuracyOf last heldOutLast, accuracyOf mean heldOutMean)
        (collected train)
        (collected heldOut)

printfn $"{heldOut.Length} held-out sentences, {topics.Length} topics: chance is {1.0 / float topics.Length:P0}\n"
printfn "right of the held-out     last token    mean of tokens"

for site, (last, mean) in List.zip sites found do
    printfn $"{site, -24}{last, 12:P1}{mean, 18:P1}"

// The last token is the same in every sentence: before the first block it knows nothing of the topic.
require "the last token's embedding knows no topic" (fst found.Head <= 0.3)
require "after a block its hidden state does" (found |> List.exists (fun (last, _) -> last > 0.9))
