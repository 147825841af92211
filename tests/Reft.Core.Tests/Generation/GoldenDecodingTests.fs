module Reft.Core.Tests.Generation.GoldenDecodingTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests

let private folder = [ "g_decoding"; "llama" ]
let private most = 12
let private eos = 159

let private rowsOf (t: Tensor) =
    t.data<int64>().ToArray() |> Array.map int |> Array.chunkBySize (int t.shape[1])

let private withGolden body () =
    TinyModel.scoped (fun () ->
        use loaded = Checkpoint.load (Golden.path [ "a_models"; "llama"; "model" ])
        let golden = Golden.tensors (folder @ [ "golden.safetensors" ])
        let ids, mask = rowsOf golden["input_ids"], rowsOf golden["attention_mask"]

        let prompts =
            [ for ids, mask in Seq.zip ids mask ->
                  Array.zip ids mask
                  |> Array.filter (snd >> (=) 1)
                  |> Array.map fst
                  |> Example.ofText ]

        body loaded.Model golden prompts ids[0].Length)

/// Generated ids without the padding that follows an end.
let private untilEnd (ends: int list) (ids: int[]) =
    match ids |> Array.tryFindIndex (fun id -> List.contains id ends) with
    | Some i -> ids[..i]
    | None -> ids

let private options ends padding =
    { MaxNewTokens = most
      StopIds = ends
      Padding = padding }

let private processing processors =
    { Decoding.greedy with
        Processors = processors }

let private greedyCases =
    [ "greedy_eos", [ eos ], []
      "greedy_rep_1.1_ngram5", [], [ LogitsProcessor.repetitionPenalty 1.1; LogitsProcessor.noRepeatNgram 5 ]
      "greedy_rep_1.3", [], [ LogitsProcessor.repetitionPenalty 1.3 ]
      "greedy_ngram2", [], [ LogitsProcessor.noRepeatNgram 2 ]
      "greedy_min_new_8", [ eos ], [ LogitsProcessor.minimumNewTokens 8 [ eos ] ]
      "greedy_two_eos", [ eos; 207 ], []
      "greedy_bad_words", [], [ LogitsProcessor.banned [ [| 140 |]; [| 20; 20 |] ] ] ]

let private beam4 = Decoding.beams 4

let private beamCases =
    [ "beam4", beam4, []
      "beam4_early",
      { beam4 with
          EarlyStopping = BeamStopping.Full },
      []
      "beam4_never",
      { beam4 with
          EarlyStopping = BeamStopping.Never },
      []
      "beam4_lp0.5", { beam4 with LengthPenalty = 0.5 }, []
      "beam4_lp2", { beam4 with LengthPenalty = 2.0 }, []
      "beam4_ngram3_rep1.2", beam4, [ LogitsProcessor.repetitionPenalty 1.2; LogitsProcessor.noRepeatNgram 3 ]
      "beam3_return3", { Decoding.beams 3 with Returned = 3 }, [] ]

let private checkGreedy (case: string) ends processors padding =
    withGolden (fun model golden prompts width ->
        let found =
            Generate.rows (processing processors) (options ends padding) [] model prompts

        let expected =
            rowsOf golden[case + ".sequences"]
            |> Array.map (Array.skip width >> untilEnd ends)

        Expect.equal (found |> Array.map (fun row -> row.Ids)) expected "ids"

        for row in found do
            let reason =
                if List.contains (Array.last row.Ids) ends then
                    RowEnding.EndToken
                else
                    RowEnding.Length

            Expect.equal row.Finish reason "why it ended")

let private checkBeams (case: string) beams processors padding =
    withGolden (fun model golden prompts width ->
        let found =
            Generate.beams beams (processing processors) (options [ eos ] padding) [] model prompts
            |> Array.concat

        let expected =
            rowsOf golden[case + ".sequences"]
            |> Array.map (Array.skip width >> untilEnd [ eos ])

        Expect.equal (found |> Array.map (fun row -> row.Ids)) expected "ids"

        let scores = golden[case + ".sequences_scores"].data<float32>().ToArray()

        for row, score in Seq.zip found scores do
            Expect.floatClose { absolute = 1e-5; relative = 0.0 } row.Score.Value (float score) "score")

let private temperature t = { Warp.none with Temperature = t }

let private warpCases =
    [ "t0.3_p0.75_k40",
      { temperature 0.3 with
          TopK = Some 40
          TopP = Some 0.75 }
      "t0.1_p0.75_k40",
      { temperature 0.1 with
          TopK = Some 40
          TopP = Some 0.75 }
      "p0.9", { Warp.none with TopP = Some 0.9 }
      "k5", { Warp.none with TopK = Some 5 }
      "t1.7_minp0.1", { temperature 1.7 with MinP = Some 0.1 }
      "p0.01", { Warp.none with TopP = Some 0.01 } ]

let private checkWarp (case: string) warping =
    withGolden (fun _ golden _ _ ->
        let found = (golden["warp.logits"] |> Warp.apply 1 warping).softmax -1L
        let expected = golden["warp." + case + ".probs"]

        let remaining (t: Tensor) =
            t.gt((0).ToScalar()).data<bool>().ToArray()

        Expect.equal (remaining found) (remaining expected) "what remains"
        Golden.expectClose 1e-6 expected found "probabilities")

[<Tests>]
let tests =
    testList
        "Golden decoding"
        [ for case, ends, processors in greedyCases do
              for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                  testCase $"{case}, {padding}" (checkGreedy case ends processors padding)
          for case, beams, processors in beamCases do
              for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                  testCase $"{case}, {padding}" (checkBeams case beams processors padding)
          for case, warping in warpCases do
              testCase $"warp {case}" (checkWarp case warping) ]
