module Reft.Core.Tests.Search.SearchTests

open System
open Expecto
open FsCheck
open Reft.Core

let private halving eta least most =
    { Eta = eta
      MinBudget = least
      MaxBudget = most }

/// Runs a search to its end; what it ran, in order, and the best.
let private search halving better count (value: int -> int -> float) =
    let rec go known ran =
        match SuccessiveHalving.next halving better count (fun c r -> Map.tryFind (c, r) known) with
        | HalvingStep.Run(candidate, rung, budget) ->
            go (Map.add (candidate, rung) (value candidate rung) known) ((candidate, rung, budget) :: ran)
        | HalvingStep.Finished best -> List.rev ran, best, known

    go Map.empty []

/// Any search: η, budgets, the number of candidates, and values of candidates on rungs, some of them no number.
let private anySearch (eta: PositiveInt) (least: PositiveInt) (more: NonNegativeInt) (count: PositiveInt) (seed: int) =
    let value candidate rung =
        let draw = Random(HashCode.Combine(seed, candidate, rung)).NextDouble()
        if draw < 0.05 then nan else Math.Round(draw, 1)

    halving (2 + eta.Get % 4) (1 + least.Get % 9) (1 + least.Get % 9 + more.Get % 200), 1 + count.Get % 60, value

[<Tests>]
let halvingTests =
    testList
        "Successive halving"
        [ testCase "the budgets of the paper's kind of bracket" (fun () ->
              Expect.equal
                  (SuccessiveHalving.rungs (halving 3 1 81) 81)
                  [ 81, 1; 27, 3; 9, 9; 3, 27; 1, 81 ]
                  "81 candidates"

              Expect.equal
                  (SuccessiveHalving.rungs (halving 3 10 50) 6)
                  [ 6, 10; 2, 30; 1, 50 ]
                  "an uneven largest budget"

              Expect.equal
                  (SuccessiveHalving.rungs (halving 2 10 1000) 2)
                  [ 2, 10; 1, 1000 ]
                  "one left goes to the end"

              Expect.equal (SuccessiveHalving.rungs (halving 2 7 7) 5) [ 5, 7 ] "one rung")
          testCase "the best of a known order wins" (fun () ->
              let _, best, _ =
                  search (halving 3 1 27) Better.Lower 27 (fun c _ -> float (abs (c - 13)))

              Expect.equal best (Some 13) "lower"
              let _, best, _ = search (halving 3 1 27) Better.Higher 27 (fun c _ -> float c)
              Expect.equal best (Some 26) "higher"
              let _, best, _ = search (halving 3 1 27) Better.Lower 27 (fun _ _ -> nan)
              Expect.equal best None "all failed")
          testProperty "every rung keeps the best 1/η" (fun eta least more count seed ->
              let halving, count, value = anySearch eta least more count seed

              for better in [ Better.Lower; Better.Higher ] do
                  let ran, _, _ = search halving better count value
                  let byRung = ran |> List.groupBy (fun (_, rung, _) -> rung)

                  for (_, here), (_, above) in List.pairwise byRung do
                      let stay = above |> List.map (fun (c, _, _) -> c) |> Set.ofList
                      let all = here |> List.map (fun (c, _, _) -> c) |> Set.ofList
                      Expect.isTrue (Set.isSubset stay all) "who goes on was there"
                      Expect.equal stay.Count (max 1 (all.Count / halving.Eta)) "how many go on"
                      let _, rung, _ = here.Head

                      let worth c =
                          match value c rung with
                          | v when Double.IsNaN v -> Double.PositiveInfinity
                          | v when better = Better.Lower -> v
                          | v -> -v

                      let worstKept = stay |> Seq.map worth |> Seq.max

                      for left in Set.difference all stay do
                          Expect.isGreaterThanOrEqual (worth left) worstKept "who stays behind is no better"

                  let _, _, last = List.last ran
                  Expect.equal last halving.MaxBudget "the last budget")
          testProperty
              "it goes on from any results, and the order within a rung changes nothing"
              (fun eta least more count seed ->
                  let halving, count, value = anySearch eta least more count seed
                  let ran, best, known = search halving Better.Lower count value

                  // What is known of later runs is not looked at before its turn, so any part of the results is a place to go on.
                  let kept =
                      known
                      |> Map.filter (fun (c, r) _ -> Random(HashCode.Combine(seed, c, r, 1)).Next 2 = 0)

                  let rec go known again =
                      match
                          SuccessiveHalving.next halving Better.Lower count (fun c r -> Map.tryFind (c, r) known)
                      with
                      | HalvingStep.Run(candidate, rung, _) ->
                          go (Map.add (candidate, rung) (value candidate rung) known) ((candidate, rung) :: again)
                      | HalvingStep.Finished best -> again, best

                  let again, bestAgain = go kept []
                  Expect.equal bestAgain best "the best"

                  Expect.equal
                      (Set.ofList again)
                      (ran
                       |> List.map (fun (c, r, _) -> c, r)
                       |> List.filter (fun key -> not (Map.containsKey key kept))
                       |> Set.ofList)
                      "what was missing is run, and nothing else")
          testCase "settings out of range are refused" (fun () ->
              for bad, count in [ halving 1 1 2, 3; halving 2 0 2, 3; halving 2 3 2, 3; halving 2 1 2, 0 ] do
                  Expect.throwsT<ArgumentException>
                      (fun () -> SuccessiveHalving.rungs bad count |> ignore)
                      $"{bad}, {count}") ]

[<Tests>]
let spaceTests =
    testList
        "Search spaces"
        [ testCase "values are read" (fun () ->
              let read separator text =
                  (SearchSpace.parse separator "x" text).Values

              Expect.equal (read ',' "1, 2,4") (SearchValues.Choices [ "1"; "2"; "4" ]) "choices"
              Expect.equal (read ';' "all;4,6,10") (SearchValues.Choices [ "all"; "4,6,10" ]) "layers"
              Expect.equal (read ',' "log:1e-4..5e-3") (SearchValues.LogUniform(1e-4, 5e-3, None)) "a range"
              Expect.equal (read ',' "lin:-1..0.5:4") (SearchValues.Uniform(-1.0, 0.5, Some 4)) "a range with points")
          testCase "what is none is refused, by the setting's name" (fun () ->
              for text in
                  [ ""
                    "1,,2"
                    "1,1"
                    "log:0..1"
                    "log:2..1"
                    "lin:a..b"
                    "lin:0..1:1"
                    "log:1..2:3:4"
                    "lin:1" ] do
                  let message =
                      try
                          SearchSpace.parse ',' "rate" text |> ignore
                          ""
                      with :? ArgumentException as e ->
                          e.Message

                  Expect.stringContains message "rate" text)
          testCase "a grid has every combination, ranges by their points" (fun () ->
              Expect.equal
                  (SearchSpace.grid
                      [ SearchSpace.parse ',' "a" "1,2"
                        SearchSpace.parse ',' "b" "log:0.001..0.1:3" ])
                  [ for a in [ "1"; "2" ] do
                        for b in [ "0.001"; "0.01"; "0.1" ] -> [ a; b ] ]
                  "the grid"

              Expect.throwsT<ArgumentException>
                  (fun () -> SearchSpace.grid [ SearchSpace.parse ',' "b" "log:1..2" ] |> ignore)
                  "a range without points"

              let wide = [ for i in 0..9 -> SearchSpace.parse ',' $"a{i}" "1,2,3,4" ]
              Expect.throwsT<ArgumentException> (fun () -> SearchSpace.grid wide |> ignore) "too many")
          testProperty
              "a sample is of the space, without repetition, and a longer one begins with it"
              (fun (seed: int) (n: PositiveInt) ->
                  let axes =
                      [ SearchSpace.parse ',' "rank" "1,2,4"
                        SearchSpace.parse ',' "lr" "log:1e-4..5e-3"
                        SearchSpace.parse ',' "dropout" "lin:0..0.5" ]

                  let count = 1 + n.Get % 20
                  let some = SearchSpace.sample (int64 seed) count axes
                  Expect.equal (List.distinct some).Length count "different ones"

                  Expect.equal
                      (SearchSpace.sample (int64 seed) (count + 5) axes |> List.truncate count)
                      some
                      "a longer one"

                  for candidate in some do
                      Expect.contains [ "1"; "2"; "4" ] candidate[0] "a choice"

                      let number (text: string) =
                          Double.Parse(text, Globalization.CultureInfo.InvariantCulture)

                      Expect.isTrue (number candidate[1] >= 1e-4 && number candidate[1] <= 5e-3) "a rate"
                      Expect.isTrue (number candidate[2] >= 0.0 && number candidate[2] <= 0.5) "a part")
          testCase "a small space is sampled whole" (fun () ->
              let axes = [ SearchSpace.parse ',' "a" "1,2"; SearchSpace.parse ',' "b" "x,y,z" ]

              Expect.equal (SearchSpace.sample 3L 50 axes |> List.sort) (SearchSpace.grid axes |> List.sort) "all six") ]
