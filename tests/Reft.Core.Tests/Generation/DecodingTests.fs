module Reft.Core.Tests.Generation.DecodingTests

open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Generation.DecodingCases

let private few =
    { FsCheckConfig.defaultConfig with
        maxTest = 10 }

let private forSeeds name = DecodingCases.forSeeds 8 name

let private processing processors =
    { Decoding.greedy with
        Processors = processors }

let private ids (rows: GeneratedRow[]) = rows |> Array.map (fun row -> row.Ids)

let private generate decoding options seed =
    let model = create torch.float32 1L
    Generate.rows decoding options [] model (prompts seed)

let private ngrams n (tokens: int[]) = tokens |> Array.windowed n

[<Tests>]
let tests =
    testList
        "Ways of decoding"
        [ for name, decoding in
              [ "greedy", Decoding.greedy
                "with processors", processing [ LogitsProcessor.noRepeatNgram 2 ]
                "drawn", sampled Warp.none 3L [ 0..3 ] ] do
              for damage in [ nanf; infinityf ] do
                  test $"logits of {damage} are refused: {name}" {
                      scoped (fun () ->
                          // Two tokens' logits alone, which no prompt reads: of infinities, one is above all.
                          let theta = weights config 1L
                          let head = theta["lm_head.weight"]
                          head[0, 0].fill_(damage.ToScalar()) |> ignore
                          head[1, 0].fill_((-damage).ToScalar()) |> ignore
                          let model = ofWeights torch.float32 config theta

                          Golden.throwsWith<System.InvalidOperationException> [ "not numbers" ] (fun () ->
                              Generate.rows decoding (upTo 3 []) [] model (prompts 2L) |> ignore))
                  }
          forSeeds "top-k of 1 and a temperature near 0 are greedy" (fun (seed: int) ->
              use _ = scope ()
              let free = generate Decoding.greedy (upTo 10 []) (int64 seed) |> ids

              [ { Warp.none with TopK = Some 1 }; { Warp.none with Temperature = 1e-6 } ]
              |> List.forall (fun warping ->
                  ids (generate (sampled warping 3L [ 0..3 ]) (upTo 10 []) (int64 seed)) = free))
          testPropertyWithConfig few "no n-gram comes twice" (fun (seed: int) (PositiveInt k) ->
              use _ = scope ()
              let n = 1 + k % 3
              let model = create torch.float32 1L
              let given = prompts (int64 seed)

              Generate.rows (processing [ LogitsProcessor.noRepeatNgram n ]) (upTo 20 []) [] model given
              |> Array.forall2
                  (fun (example: Example) (row: GeneratedRow) ->
                      let found = ngrams n (Array.append example.Ids row.Ids)
                      row.Ids.Length = 20 && Array.distinct found = found)
                  (List.toArray given))
          testPropertyWithConfig
              few
              "no end comes before the least number of new tokens"
              (fun (seed: int) (PositiveInt k) ->
                  use _ = scope ()
                  let least, ends = k % 12, [ 1..25 ]

                  let rows =
                      generate (processing [ LogitsProcessor.minimumNewTokens least ends ]) (upTo 12 ends) (int64 seed)

                  rows
                  |> Array.forall (fun row ->
                      row.Ids
                      |> Array.indexed
                      |> Array.forall (fun (i, id) -> i >= least || not (List.contains id ends))
                      && (row.Finish = RowEnding.EndToken) = List.contains (Array.last row.Ids) ends))
          test "a minimum length counts the prompt" {
              scoped (fun () ->
                  let ends = [ 1..39 ]
                  // Without it every row would end at once.
                  let rows =
                      generate (processing [ LogitsProcessor.minimumLength 8 ends ]) (upTo 12 ends) 2L

                  Expect.equal (rows |> Array.map (fun row -> row.Ids.Length)) [| 1; 6; 3; 8 |] "lengths")
          }
          testPropertyWithConfig few "banned sequences do not come" (fun (seed: int) ->
              use _ = scope ()
              let free = generate Decoding.greedy (upTo 12 []) (int64 seed) |> ids
              let banned = [ [| free[0][3] |]; free[1][4..5]; free[2][2..4] ]

              generate (processing [ LogitsProcessor.banned banned ]) (upTo 12 []) (int64 seed)
              |> Array.forall (fun row ->
                  banned
                  |> List.forall (fun sequence -> ngrams sequence.Length row.Ids |> Array.contains sequence |> not)))
          forSeeds "the seed decides, whatever the batch" (fun (seed: int) ->
              use _ = scope ()
              let model = create torch.float32 1L
              let given = prompts (int64 seed)

              let together =
                  Generate.rows (sampled Warp.none (int64 seed) [ 0..3 ]) (upTo 12 []) [] model given
                  |> ids

              let again =
                  Generate.rows (sampled Warp.none (int64 seed) [ 0..3 ]) (upTo 12 []) [] model given
                  |> ids

              let alone =
                  [| for row, example in List.indexed given ->
                         Generate.rows (sampled Warp.none (int64 seed) [ row ]) (upTo 12 []) [] model [ example ]
                         |> ids
                         |> Array.head |]

              let other =
                  Generate.rows (sampled Warp.none (int64 seed + 1L) [ 0..3 ]) (upTo 12 []) [] model given
                  |> ids

              together = again && together = alone && together <> other)
          test "rows with the same prompt draw from streams of their own" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let rows =
                      List.replicate 4 (Example.ofText [| 5; 6 |])
                      |> Generate.rows (sampled Warp.none 1L [ 0..3 ]) (upTo 12 []) [] model
                      |> ids

                  Expect.equal (Array.distinct rows).Length 4 "different texts")
          }
          test "a row ends where its text does, and says so" {
              scoped (fun () ->
                  let free = generate Decoding.greedy (upTo 10 []) 2L |> ids
                  let stop = free[0][2..3]

                  let decoding =
                      { Decoding.greedy with
                          StopText = Some(fun ids -> ids.Length >= 2 && ids[ids.Length - 2 ..] = stop) }

                  let rows = generate decoding (upTo 10 []) 2L
                  Expect.equal rows[0].Ids (Array.truncate 4 free[0]) "the stop is among its tokens"
                  Expect.equal rows[0].Finish RowEnding.StopText "why"

                  for row in 1..3 do
                      if rows[row].Finish = RowEnding.Length then
                          Expect.equal rows[row].Ids free[row] "the others go on")
          }
          test "where everything is forbidden, the row is named" {
              scoped (fun () ->
                  let everything = processing [ LogitsProcessor.forbid (fun _ -> seq { 0..39 }) ]

                  let drawing =
                      { everything with
                          Choice = TokenChoice.Sampled(Warp.none, Sampling.streams 1L [ 0..3 ]) }

                  for decoding in [ everything; drawing ] do
                      Golden.throwsWith<System.InvalidOperationException> [ "row 0"; "forbidden" ] (fun () ->
                          generate decoding (upTo 3 []) 2L |> ignore)

                  Golden.throwsWith<System.InvalidOperationException> [ "row 0"; "forbidden" ] (fun () ->
                      let model = create torch.float32 1L

                      Generate.beams (Decoding.beams 2) everything (upTo 3 []) [] model (prompts 2L)
                      |> ignore))
          }
          test "bad settings are refused" {
              scoped (fun () ->
                  let refuses text body =
                      Golden.throwsWith<System.ArgumentException> [ text ] (fun () -> body () |> ignore)

                  refuses "0 … 39" (fun () ->
                      generate (processing [ LogitsProcessor.banned [ [| 40 |] ] ]) (upTo 2 []) 2L)

                  refuses "repetition penalty" (fun () -> LogitsProcessor.repetitionPenalty 0.0)
                  refuses "n-grams" (fun () -> LogitsProcessor.noRepeatNgram 0)
                  refuses "empty" (fun () -> LogitsProcessor.banned [ [||] ])
                  refuses "random stream" (fun () -> generate (sampled Warp.none 1L [ 0 ]) (upTo 2 []) 2L)

                  refuses "TopP" (fun () ->
                      generate (sampled { Warp.none with TopP = Some 2.0 } 1L [ 0..3 ]) (upTo 2 []) 2L))
          }
          test "two hundred generations leave no tensor behind" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let given = prompts 2L

                  let decodings =
                      [ Decoding.greedy
                        processing [ LogitsProcessor.repetitionPenalty 1.2; LogitsProcessor.noRepeatNgram 2 ]
                        sampled
                            { Temperature = 0.7
                              TopK = Some 10
                              TopP = Some 0.9
                              MinP = Some 0.01 }
                            1L
                            [ 0..3 ] ]

                  let all () =
                      for decoding in decodings do
                          Generate.rows decoding (upTo 3 []) [] model given |> ignore

                          Generate.beams (Decoding.beams 2) decoding (upTo 3 []) [] model given |> ignore

                  all ()
                  let before = Golden.liveTensors ()

                  for _ in 1..34 do
                      all ()

                  Expect.equal (Golden.liveTensors ()) before "live tensors")
          } ]
