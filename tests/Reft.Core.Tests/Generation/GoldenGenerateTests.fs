module Reft.Core.Tests.Generation.GoldenGenerateTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests

let private rowsOf (t: Tensor) =
    t.data<int64>().ToArray() |> Array.map int |> Array.chunkBySize (int t.shape[1])

let private check case padding () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; case; "model" ])
    let golden = Golden.tensors [ "a_models"; case; "golden.safetensors" ]

    let ids, mask =
        rowsOf golden["left.input_ids"], rowsOf golden["left.attention_mask"]

    let prompts =
        [ for ids, mask in Seq.zip ids mask -> Array.zip ids mask |> Array.filter (snd >> (=) 1) |> Array.map fst ]

    let width = ids[0].Length

    let generate stop prompts =
        let options =
            { MaxNewTokens = int golden["gen.sequences"].shape[1] - width
              StopIds = stop
              Padding = padding }

        Generate.complete options [] loaded.Model prompts

    // Transformers repeats the prompt before the new tokens.
    Expect.equal (generate [] prompts) (rowsOf golden["gen.sequences"] |> Array.map (Array.skip width)) "without an end"

    let eos =
        JsonValue.read 1_000_000 (Golden.path [ "a_models"; case; "README.json" ])
        |> JsonValue.field "gen_eos_token_id"
        |> JsonValue.int 0 100_000

    let untilEnd =
        rowsOf golden["gen_eos.sequences"]
        |> Array.map (fun row ->
            let tokens = Array.skip width row

            // What follows the end is padding.
            match Array.tryFindIndex ((=) eos) tokens with
            | Some i -> tokens[..i]
            | None -> tokens)

    Expect.equal (generate [ eos ] prompts) untilEnd "with an end-of-sequence id"

    for i, prompt in List.indexed prompts do
        let single = rowsOf golden[$"gen_single.{i}.sequences"]
        Expect.equal (generate [] [ prompt ]) [| Array.skip prompt.Length single[0] |] $"row {i} alone"

[<Tests>]
let tests =
    testList
        "Golden generation"
        [ for case in Golden.decoders do
              for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                  testCase $"{case}, {padding}" (fun () -> TinyModel.scoped (check case padding)) ]
