/// What the tests of decoding ask the tiny model for.
module Reft.Core.Tests.Generation.DecodingCases

open Expecto
open Reft.Core
open Reft.Core.Tests.TinyModel

/// Where rounding could decide between two tokens, seeds are fixed: those of 0 … count − 1.
let forSeeds count name (holds: int -> bool) =
    testCase name (fun () ->
        for seed in 0 .. count - 1 do
            Expect.isTrue (holds seed) $"seed {seed}")

/// Four rows of different lengths.
let prompts seed =
    examples seed 0 [ 9; 3; 6; 1 ] |> List.map (fun e -> Example.ofText e.Ids)

let upTo count ends =
    { MaxNewTokens = count
      StopIds = ends
      Padding = PaddingSide.Left }

let sampled warping seed rows =
    { Decoding.greedy with
        Choice = TokenChoice.Sampled(warping, Sampling.streams seed rows) }
