module Reft.Core.Tests.Generation.ChoicesTests

open System
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

let private near (found: float) (expected: float) (what: string) =
    Expect.isLessThan (abs (found - expected)) 1e-4 $"{what}: expected {expected}, found {found}"

let private prompts = [ [| 3; 9; 14 |]; [| 21 |]; [| 5; 5; 8; 2; 30 |] ]
let private choices = [ [| 4 |]; [| 7; 11 |]; [| 1; 2; 3; 19 |] ]

let private examples =
    [ for prompt in prompts do
          for choice in choices -> Example.ofCompletion prompt choice ]

let private batchesOf size =
    examples |> List.chunkBySize size |> List.map (Batch.create PaddingSide.Right)

[<Tests>]
let tests =
    testList
        "Choices"
        [ testCase "the sums are those of the scores, in batches of any size, with interventions and without" (fun () ->
              let model = TinyModel.create torch.float32 7L
              let spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 1 + last 1)
              let theta = Reft.init spec TinyModel.config (Rng.ofSeed 1L)
              use bound = Reft.bind spec theta

              for attached in [ []; [ bound ] ] do
                  let expected =
                      [| for example in examples do
                             let logprobs =
                                 (Score.logprobs attached model (Batch.create PaddingSide.Right [ example ]))[0]

                             logprobs |> Seq.skip (example.Prompt - 1) |> Seq.sumBy float |]

                  for size in [ 1; 2; 4; 9 ] do
                      let found =
                          batchesOf size
                          |> Seq.collect (Choices.likelihoods attached model)
                          |> Seq.toArray

                      Expect.equal
                          (found |> Array.map _.Tokens)
                          [| for _ in prompts do
                                 yield! [ 1; 2; 4 ] |]
                          "tokens"

                      Array.iteri2
                          (fun i (a: ChoiceLikelihood) b -> near a.LogProb b $"choice {i} in batches of {size}")
                          found
                          expected

              let plain = batchesOf 9 |> Seq.collect (Choices.likelihoods [] model) |> Seq.toArray

              let edited =
                  batchesOf 9 |> Seq.collect (Choices.likelihoods [ bound ] model) |> Seq.toArray

              Expect.isTrue
                  (Array.exists2
                      (fun (a: ChoiceLikelihood) (b: ChoiceLikelihood) -> abs (a.LogProb - b.LogProb) > 1e-3)
                      plain
                      edited)
                  "the edit acts")
          testCase "measures" (fun () ->
              let likelihood = { LogProb = -6.0; Tokens = 3 }

              let score measure =
                  Choices.score measure 12 -4.5 likelihood

              near (score ChoiceMeasure.Likelihood) -6.0 "sum"
              near (score ChoiceMeasure.PerToken) -2.0 "per token"
              near (score ChoiceMeasure.PerByte) -0.5 "per byte"
              near (score ChoiceMeasure.PointwiseInformation) -1.5 "minus the neutral one"

              Expect.throwsT<ArgumentException>
                  (fun () -> Choices.score ChoiceMeasure.PerByte 0 0.0 likelihood |> ignore)
                  "no byte"

              Expect.equal (Choices.best [| -2.0; -1.0; -1.0 |]) 1 "the first of equal ones")
          testCase "what a text says" (fun () ->
              let said = Choices.said [ " yes"; "no"; "not sure"; "" ]
              Expect.equal (said "yes") (Some 0) "spaces aside"
              Expect.equal (said " no\n") (Some 1) "exactly"
              Expect.equal (said "no, never") (Some 1) "as it begins"
              Expect.equal (said "not sure at all") (Some 2) "the longest that it begins with"
              Expect.equal (said "maybe") None "none"
              Expect.equal (said "") (Some 3) "nothing, where nothing is a choice") ]
