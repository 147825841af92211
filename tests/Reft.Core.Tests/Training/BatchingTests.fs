module Reft.Core.Tests.Training.BatchingTests

open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Tests

let private lengthsOf (NonEmptyArray draws: NonEmptyArray<byte>) =
    draws |> Array.map (fun length -> 1 + int length % 60)

let private all size =
    [ Batching.InOrder
      Batching.ByLength 1
      Batching.ByLength size
      Batching.Packed 64 ]

let private padded (batches: int[][]) (lengths: int[]) =
    batches
    |> Array.sumBy (fun rows ->
        let of' = rows |> Array.map (fun row -> lengths[row])
        rows.Length * Array.max of' - Array.sum of')

let private skewed =
    let rng = Rng.ofSeed 5L

    Array.init 2000 (fun i ->
        let struct (bits, _) = Rng.next (Rng.fork i rng)
        // Mostly short, some ten times as long.
        if bits % 10UL = 0UL then
            200 + int (bits / 16UL % 200UL)
        else
            10 + int (bits / 16UL % 40UL))

[<Tests>]
let tests =
    testList
        "Batching"
        [ testProperty "every row is in every epoch once, whatever the batching"
          <| fun (draws: NonEmptyArray<byte>) (size: byte) (seed: int64) (shuffle: bool) ->
              let lengths = lengthsOf draws
              let size = 1 + int size % 9
              let order = if shuffle then Some(Rng.ofSeed seed) else None

              for batching in all size do
                  let plan = Batching.plan batching size order lengths
                  let rows = Array.concat plan
                  Expect.equal (Array.sort rows) [| 0 .. lengths.Length - 1 |] $"{batching}"
                  Expect.isTrue (plan |> Array.forall (fun batch -> batch.Length > 0)) "no empty batch"
                  Expect.equal plan (Batching.plan batching size order lengths) "a function of its arguments"
          testProperty "no batch has more rows than it was asked for, packed ones none that is too long"
          <| fun (draws: NonEmptyArray<byte>) (size: byte) (seed: int64) ->
              let lengths = lengthsOf draws
              let size = 1 + int size % 9

              let examples =
                  lengths |> Array.map (fun length -> Example.ofText (Array.create length 1))

              for batching in all size do
                  for rows in Batching.plan batching size (Some(Rng.ofSeed seed)) lengths do
                      let batch =
                          rows
                          |> Array.map (fun row -> examples[row])
                          |> Array.toList
                          |> Batching.batch batching PaddingSide.Right

                      Expect.isLessThanOrEqual batch.Rows size $"{batching}"
                      Expect.equal batch.TokenCount (rows |> Array.sumBy (fun row -> lengths[row])) "tokens"

                      match batching with
                      | Batching.Packed columns -> Expect.isLessThanOrEqual batch.Columns columns "columns"
                      | _ -> ()
          test "batches by length are padded less, and packed ones least" {
              let share batching =
                  let plan = Batching.plan batching 8 (Some(Rng.ofSeed 1L)) skewed

                  match batching with
                  | Batching.Packed columns ->
                      let rows =
                          plan
                          |> Array.sumBy (fun batch ->
                              (batch
                               |> Array.map (fun row -> Example.ofText (Array.create skewed[row] 1))
                               |> Array.toList
                               |> Batching.batch batching PaddingSide.Right)
                                  .Rows)

                      float (rows * columns - Array.sum skewed) / float (rows * columns)
                  | _ ->
                      let wasted = padded plan skewed
                      float wasted / float (wasted + Array.sum skewed)

              let inOrder, byLength, packed =
                  share Batching.InOrder, share (Batching.ByLength 50), share (Batching.Packed 512)

              Expect.isGreaterThan inOrder 0.5 "in order"
              Expect.isLessThan byLength 0.1 "by length"
              Expect.isLessThan packed 0.05 "packed"
          }
          test "epochs have orders of their own, of batches too" {
              for batching in [ Batching.ByLength 50; Batching.Packed 512 ] do
                  let plan epoch =
                      Batching.plan batching 8 (Some(Rng.fork epoch (Rng.ofSeed 1L))) skewed

                  Expect.notEqual (plan 0) (plan 1) $"{batching}"

              let batches = Batching.plan (Batching.ByLength 50) 8 (Some(Rng.ofSeed 1L)) skewed
              let firsts = batches |> Array.map (fun batch -> skewed[batch[0]])
              Expect.notEqual firsts (Array.sort firsts) "long batches do not come last"
          }
          test "what cannot be planned is refused" {
              let refuses text batching size lengths =
                  Expect.throwsC (fun () -> Batching.plan batching size None lengths |> ignore) (fun e ->
                      Expect.stringContains e.Message text "message")

              refuses "found 0" Batching.InOrder 0 [| 1 |]
              refuses "found 0" (Batching.ByLength 0) 1 [| 1 |]
              refuses "found -1" (Batching.Packed -1) 1 [| 1 |]
              refuses "example 1 has 9 tokens, more than a packed row of 8 takes" (Batching.Packed 8) 1 [| 8; 9 |]

              Expect.throwsC
                  (fun () -> Batch.pack 4 PaddingSide.Right [ Example.ofText [| 1..5 |] ] |> ignore)
                  (fun e -> Expect.stringContains e.Message "example 0 has 5 tokens" "message")
          }
          test "packed rows hold examples one after another" {
              let rows = TinyModel.examples 3L 2 [ 5; 4; 3; 6 ]

              for side in [ PaddingSide.Right; PaddingSide.Left ] do
                  let batch = Batch.pack 9 side rows
                  Expect.equal batch.Rows 2 "rows"
                  Expect.isTrue batch.IsPacked "packed"
                  Expect.equal (batch.Spans |> Array.map _.Row) [| 0; 0; 1; 1 |] "which row"
                  Expect.equal (batch.Spans |> Array.map _.Start) [| 0; 5; 0; 3 |] "which column"

                  for span, example in Seq.zip batch.Spans batch.Examples do
                      let at = span.Row * batch.Columns + span.Start
                      Expect.equal (batch.Ids[at .. at + span.Length - 1] |> Array.map int) example.Ids "ids"
          } ]
