module Reft.Core.Tests.Generation.BeamSearchTests

open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Generation.DecodingCases

let private few =
    { FsCheckConfig.defaultConfig with
        maxTest = 6 }

let private forSeeds name = DecodingCases.forSeeds 6 name

let private paper =
    { Warp.none with
        Temperature = 0.3
        TopP = Some 0.75
        TopK = Some 40 }

/// The sums of the log-probabilities of continuations, by one uncached pass, over length ^ penalty.
let private uncachedAll bound model penalty (prompt: Example) (generated: int[] list) =
    let examples =
        generated
        |> List.map (fun ids ->
            { Example.ofText (Array.append prompt.Ids ids) with
                Prompt = prompt.Ids.Length
                Subspaces = prompt.Subspaces })

    Score.logprobs bound model (Batch.create PaddingSide.Right examples)
    |> Array.toList
    |> List.map2
        (fun (ids: int[]) all ->
            (all |> Array.skip (prompt.Ids.Length - 1) |> Array.sumBy float)
            / float ids.Length ** penalty)
        generated

let private uncached bound model penalty prompt generated =
    uncachedAll bound model penalty prompt [ generated ] |> List.head

let private texts (rows: GeneratedRow[][]) =
    rows |> Array.map (Array.map (fun row -> row.Ids))

let private close a b = abs (a - b) < 1e-4

let private even =
    PositionFunction.create "even" (fun row ->
        [ for token in 0 .. row.Ids.Length - 1 do
              if row.Ids[token] % 2 = 0 then
                  token ])

let private edits =
    [ "no edit", []
      "prompt", loreft 2 |> at (blockOutput [ 0; 1 ]) (first 2 + last 2)
      "decode", loreft 2 |> at (blockOutput [ 0; 1 ]) (first 3) |> ReftSpec.during Phase.Decode
      "always, keys and values",
      loreft 2
      |> at (key [ 1 ] @ value [ 2 ]) (every 2)
      |> ReftSpec.during Phase.Always
      "a function of the row",
      5.0 * loreft 2
      |> at (blockOutput [ 1 ]) (Positions.Function even)
      |> ReftSpec.during Phase.Always ]

[<Tests>]
let tests =
    testList
        "Beam search"
        [ for name, spec in edits do
              for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                  test $"scores are those of one uncached pass: {name}, {padding}" {
                      scoped (fun () ->
                          let model = create torch.float32 1L
                          let theta = Reft.init spec config (Rng.ofSeed 5L)
                          use bound = Reft.bind spec theta
                          let given = prompts 2L

                          let options =
                              { upTo 10 [ 7; 8 ] with
                                  Padding = padding }

                          let found =
                              Generate.beams
                                  { Decoding.beams 4 with Returned = 4 }
                                  Decoding.greedy
                                  options
                                  [ bound ]
                                  model
                                  given

                          for prompt, rows in Seq.zip given found do
                              Expect.equal rows.Length 4 "as many as asked for"

                              Expect.isDescending
                                  (rows |> Array.map (fun (row: GeneratedRow) -> row.Score.Value))
                                  "best first"

                              Expect.equal
                                  (Array.distinctBy (fun (row: GeneratedRow) -> row.Ids) rows).Length
                                  4
                                  "each once"

                              for row in rows do
                                  let expected = uncached [ bound ] model 1.0 prompt row.Ids
                                  Expect.isTrue (close row.Score.Value expected) $"{row.Score.Value} is {expected}")
                  }
          test "edits on subspaces follow their rows" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let spec =
                      20.0 * PartitionedLoreft.create 4 [ [ 0; 1 ]; [ 2; 3 ] ]
                      |> at (blockOutput [ 1 ]) all
                      |> ReftSpec.during Phase.Always

                  let theta = Reft.init spec config (Rng.ofSeed 2L)
                  use bound = Reft.bind spec theta

                  let given =
                      List.zip (prompts 3L) [ [ 0 ]; [ 1 ]; []; [ 1 ] ]
                      |> List.map (fun (example, parts) -> { example with Subspaces = parts })

                  let search given =
                      Generate.beams (Decoding.beams 3) Decoding.greedy (upTo 8 []) [ bound ] model given

                  for prompt, rows in Seq.zip given (search given) do
                      let expected = uncached [ bound ] model 1.0 prompt rows[0].Ids
                      Expect.isTrue (close rows[0].Score.Value expected) "score"

                      let other =
                          { prompt with
                              Subspaces = [ (if prompt.Subspaces = [ 0 ] then 1 else 0) ] }

                      Expect.isFalse
                          (close expected (uncached [ bound ] model 1.0 other rows[0].Ids))
                          "the parts differ")
          }
          test "edits that read other runs read those of their rows" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let sites = blockOutput [ 1 ]

                  let spec =
                      SourceAddition.add "source"
                      |> at sites (first 3)
                      |> ReftSpec.during Phase.Decode

                  let theta = Reft.init spec config (Rng.ofSeed 2L)
                  use bound = Reft.bind spec theta

                  let sources seed row =
                      let rows = examples seed 3 [ 8; 5; 6; 7 ]

                      let rows =
                          match row with
                          | Some row -> [ List.item row rows ]
                          | None -> rows

                      let batch = Batch.create PaddingSide.Left rows

                      model
                      |> Reft.collectDuring
                          Phase.Decode
                          "source"
                          sites
                          (first 3)
                          (Batch.context model batch)
                          (Batch.ids torch.CPU batch)

                  let search sources given =
                      let bound = Reft.withSources sources bound

                      Generate.beams
                          { Decoding.beams 3 with Returned = 3 }
                          Decoding.greedy
                          (upTo 6 [])
                          [ bound ]
                          model
                          given

                  let together = search (sources 4L None) (prompts 2L)

                  let alone =
                      [| for row, prompt in List.indexed (prompts 2L) -> (search (sources 4L (Some row)) [ prompt ])[0] |]

                  Expect.equal (texts together) (texts alone) "each row alone"

                  for prompt, (found, row) in Seq.zip (prompts 2L) (Seq.zip together (Seq.initInfinite id)) do
                      let bound = Reft.withSources (sources 4L (Some row)) bound
                      let expected = uncached [ bound ] model 1.0 prompt found[0].Ids
                      Expect.isTrue (close found[0].Score.Value expected) "score")
          }
          forSeeds "one beam is greedy, or draws as without beams" (fun (seed: int) ->
              use _ = scope ()
              let model = create torch.float32 1L
              let given = prompts (int64 seed)

              [ Decoding.greedy; sampled Warp.none 5L [ 0..3 ]; sampled paper 5L [ 0..3 ] ]
              |> List.forall (fun decoding ->
                  let plain = Generate.rows decoding (upTo 10 [ 7; 8; 9 ]) [] model given

                  let beam =
                      Generate.beams (Decoding.beams 1) decoding (upTo 10 [ 7; 8; 9 ]) [] model given

                  plain |> Array.map (fun (row: GeneratedRow) -> row.Ids, row.Finish) =
                      (beam |> Array.map (fun rows -> rows[0].Ids, rows[0].Finish))))
          testPropertyWithConfig
              few
              "an exhaustive search finds the best of all texts"
              (fun (seed: int) (PositiveInt k) ->
                  use _ = scope ()
                  let penalty = [ 0.0; 1.0; 2.0 ][k % 3]
                  let vocabulary, most, stop = 4, 3, 3

                  let small =
                      { config with
                          Vocabulary = vocabulary
                          PadId = None }

                  let model = weights small (int64 seed) |> ofWeights torch.float32 small
                  let given = [ Example.ofText [| 1; 2 |]; Example.ofText [| 0; 1; 1; 2 |] ]

                  let rec every (text: int list) =
                      if text.Length = most || List.tryHead text = Some stop then
                          [ text |> List.rev |> List.toArray ]
                      else
                          [ 0 .. vocabulary - 1 ] |> List.collect (fun id -> every (id :: text))

                  let beams =
                      { Decoding.beams (pown vocabulary most) with
                          EarlyStopping = BeamStopping.Never
                          LengthPenalty = penalty }

                  let options = upTo most [ stop ]
                  let found = Generate.beams beams Decoding.greedy options [] model given
                  let greedy = Generate.rows Decoding.greedy options [] model given

                  Seq.zip3 given found greedy
                  |> Seq.forall (fun (prompt, rows, greedy) ->
                      let score = uncached [] model penalty prompt
                      let best = every [] |> List.map score |> List.max
                      close rows[0].Score.Value best && best >= score greedy.Ids - 1e-4))
          forSeeds "a batch finds what each row finds alone, by search and by drawing" (fun (seed: int) ->
              use _ = scope ()
              let model = create torch.float32 1L
              let given = prompts (int64 seed)

              let beams = { Decoding.beams 4 with Returned = 2 }

              [ fun _ -> Decoding.greedy
                sampled paper (int64 seed)
                sampled Warp.none (int64 seed) ]
              |> List.forall (fun decoding ->
                  let together =
                      Generate.beams beams (decoding [ 0..3 ]) (upTo 8 [ 7 ]) [] model given |> texts

                  let alone =
                      [| for row, prompt in List.indexed given ->
                             (Generate.beams beams (decoding [ row ]) (upTo 8 [ 7 ]) [] model [ prompt ]
                              |> texts)[0] |]

                  together = alone))
          test "drawn beams have a seed" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let search seed =
                      Generate.beams
                          (Decoding.beams 4)
                          (sampled Warp.none seed [ 0..3 ])
                          (upTo 8 [])
                          []
                          model
                          (prompts 2L)
                      |> texts

                  Expect.equal (search 1L) (search 1L) "the same"
                  Expect.notEqual (search 1L) (search 2L) "another")
          }
          test "no drawn beam leaves the warped distribution, even where fewer tokens remain than beams" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  // Every step leaves two tokens (one end, so at least two): they are the two most likely ones.
                  let narrow = { Warp.none with TopK = Some 1 }

                  let found =
                      Generate.beams
                          { Decoding.beams 4 with Returned = 4 }
                          (sampled narrow 3L [ 0..3 ])
                          (upTo 5 [ 7 ])
                          []
                          model
                          (prompts 2L)

                  for prompt, rows in Seq.zip (prompts 2L) found do
                      for row in rows do
                          for i in 0 .. row.Ids.Length - 1 do
                              let before = Example.ofText (Array.append prompt.Ids row.Ids[.. i - 1])

                              let next =
                                  [ for id in 0 .. config.Vocabulary - 1 -> [| id |] ]
                                  |> uncachedAll [] model 1.0 before
                                  |> List.indexed
                                  |> List.sortByDescending snd
                                  |> List.truncate 2
                                  |> List.map fst

                              Expect.contains next row.Ids[i] "one of the two")
          }
          test "warps leave two tokens where there is no end" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  for rows in
                      Generate.beams
                          { Decoding.beams 2 with Returned = 2 }
                          (sampled { Warp.none with TopK = Some 1 } 3L [ 0..3 ])
                          (upTo 1 [])
                          []
                          model
                          (prompts 2L) do
                      Expect.equal rows.Length 2 "two texts"
                      Expect.notEqual rows[0].Ids rows[1].Ids "of two tokens")
          }
          test "a stop text ends a hypothesis" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let decoding =
                      { Decoding.greedy with
                          StopText = Some(fun ids -> Array.last ids % 3 = 0) }

                  for rows in
                      Generate.beams { Decoding.beams 3 with Returned = 3 } decoding (upTo 8 []) [] model (prompts 2L) do
                      for row in rows do
                          let stops = row.Ids |> Array.map (fun id -> id % 3 = 0)
                          Expect.isFalse (Array.contains true stops[.. stops.Length - 2]) "not before its end"
                          Expect.equal (row.Finish = RowEnding.StopText) (Array.last stops) "why")
          }
          test "no new tokens are no search" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let found =
                      Generate.beams (Decoding.beams 2) Decoding.greedy (upTo 0 []) [] model (prompts 2L)

                  Expect.equal (texts found) (Array.replicate 4 [| [||] |]) "empty")
          }
          test "options out of range are refused by name" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let refuses name beams =
                      Golden.throwsWith<System.ArgumentException> [ name ] (fun () ->
                          Generate.beams beams Decoding.greedy (upTo 2 []) [] model (prompts 2L) |> ignore)

                  refuses "Count" (Decoding.beams 0)
                  refuses "Returned" { Decoding.beams 2 with Returned = 3 }

                  refuses
                      "LengthPenalty"
                      { Decoding.beams 2 with
                          LengthPenalty = nan })
          } ]
