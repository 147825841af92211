module Reft.Core.Tests.Generation.SamplingTests

open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private logitsOf seed (vocabulary: int) =
    Rng.normal [ 1L; int64 vocabulary ] (Rng.ofSeed (int64 (seed: int))) * 2.0f

/// The probabilities of a row, and whether each token remains after a warp.
let private warped (warp: Tensor -> Tensor) (logits: Tensor) =
    let before = (logits.softmax -1L).data<float32>().ToArray() |> Array.map float

    let kept =
        (warp logits).data<float32>().ToArray() |> Array.map (fun x -> x > -infinityf)

    before, kept

/// Σ (observed − expected)² / expected, over cells that are all expected five times at least.
let private chiSquare (expected: float[]) (observed: int[]) =
    Expect.isGreaterThan (Array.min expected) 5.0 "a cell is expected often enough"

    Array.map2 (fun e o -> (float o - e) ** 2.0 / e) expected observed |> Array.sum

let private distribution = [| 0.05; 0.3; 0.1; 0.25; 0.2; 0.1 |]

/// Draws of the same distribution in many rows.
let private draws rows count seed =
    let logits =
        torch.tensor(distribution |> Array.map (log >> float32)).view(1L, -1L).expand(int64 rows, -1L)

    let struct (drawn, _) =
        logits |> Sampling.draw count (Sampling.streams seed [ 0 .. rows - 1 ])

    drawn

[<Tests>]
let tests =
    testList
        "Sampling"
        [ testProperty
              "top-p keeps the least set whose probability reaches p"
              (fun seed (PositiveInt n) (PositiveInt k) ->
                  use _ = scope ()
                  let p = float (1 + k % 99) / 100.0
                  let before, kept = logitsOf seed (1 + n % 60) |> warped (Warp.topP 1 p)
                  let mass = Array.zip before kept |> Array.filter snd |> Array.map fst
                  let least, greatest = Array.min mass, Array.max before

                  // It reaches p, does not without its least likely member, and has the most likely ones.
                  Array.sum mass >= p - 1e-5
                  && Array.sum mass - least < p + 1e-5
                  && Array.forall2 (fun q isKept -> isKept || q <= least + 1e-7) before kept
                  && Array.contains greatest mass)
          testProperty "top-k keeps the k most likely tokens" (fun seed (PositiveInt n) (PositiveInt k) ->
              use _ = scope ()
              let before, kept = logitsOf seed (1 + n % 60) |> warped (Warp.topK 1 k)
              let expected = before |> Array.sortDescending |> Array.truncate k |> Array.last
              Array.forall2 (fun q isKept -> isKept = (q >= expected)) before kept)
          testProperty "min-p keeps what is p times as likely as the most likely token" (fun seed (PositiveInt k) ->
              use _ = scope ()
              let p = float (k % 100) / 100.0
              let before, kept = logitsOf seed 30 |> warped (Warp.minP 1 p)
              let bound = p * Array.max before
              Array.forall2 (fun q isKept -> isKept = (q >= bound) || abs (q - bound) < 1e-7) before kept)
          testProperty "warps leave as many tokens as they are told to" (fun seed (PositiveInt n) ->
              use _ = scope ()
              let least = 1 + n % 5

              [ Warp.topK least 1; Warp.topP least 1e-6; Warp.minP least 1.0 ]
              |> List.forall (fun warp ->
                  let before, kept = logitsOf seed 30 |> warped warp
                  let expected = before |> Array.sortDescending |> Array.item (least - 1)
                  Array.forall2 (fun q isKept -> isKept = (q >= expected)) before kept))
          test "draws follow the distribution" {
              scoped (fun () ->
                  let rows = 4000
                  let found = draws rows 1 7L |> Array.countBy Array.head |> Map.ofArray
                  let observed = Array.init distribution.Length (fun i -> found[i])
                  let expected = distribution |> Array.map (fun p -> p * float rows)
                  // Five degrees of freedom: passed by chance once in 10 000 seeds.
                  Expect.isLessThan (chiSquare expected observed) 25.7 "χ²")
          }
          test "draws without replacement follow the distribution of what is left" {
              scoped (fun () ->
                  let rows = 6000
                  let drawn = draws rows 2 11L
                  Expect.all drawn (fun pair -> pair[0] <> pair[1]) "no place twice"

                  let pairs =
                      [| for i in 0 .. distribution.Length - 1 do
                             for j in 0 .. distribution.Length - 1 do
                                 if i <> j then
                                     i, j |]

                  let found = drawn |> Array.countBy (fun pair -> pair[0], pair[1]) |> Map.ofArray

                  let expected =
                      pairs
                      |> Array.map (fun (i, j) ->
                          float rows * distribution[i] * distribution[j] / (1.0 - distribution[i]))

                  let observed =
                      pairs |> Array.map (fun pair -> Map.tryFind pair found |> Option.defaultValue 0)
                  // 29 degrees of freedom, once in 10 000 seeds.
                  Expect.isLessThan (chiSquare expected observed) 66.2 "χ²")
          }
          test "what has no probability is not drawn, and where nothing is left the place is −1" {
              scoped (fun () ->
                  let logits = torch.tensor([| -infinityf; 0.0f; -infinityf; 1.0f |]).view(1L, 4L)

                  for seed in 0L .. 20L do
                      let struct (drawn, _) = logits |> Sampling.draw 3 (Sampling.streams seed [ 0 ])
                      let places = drawn[0]
                      Expect.equal (places |> Array.truncate 2 |> Array.sort) [| 1; 3 |] "the two that can come"
                      Expect.equal places[2] (-1) "nothing is left")
          }
          test "logits that are not numbers are refused" {
              scoped (fun () ->
                  let logits = torch.tensor([| 0.0f; nanf |]).view(1L, 2L)

                  Golden.throwsWith<System.InvalidOperationException> [ "not numbers" ] (fun () ->
                      logits |> Sampling.draw 1 (Sampling.streams 0L [ 0 ]) |> ignore))
          }
          test "settings out of range are refused by name" {
              let refuses name warping =
                  Golden.throwsWith<System.ArgumentException> [ name ] (fun () -> Warp.check warping)

              refuses "Temperature" { Warp.none with Temperature = 0.0 }
              refuses "TopK" { Warp.none with TopK = Some 0 }
              refuses "TopP" { Warp.none with TopP = Some 0.0 }
              refuses "TopP" { Warp.none with TopP = Some nan }
              refuses "MinP" { Warp.none with MinP = Some 1.5 }
          } ]
