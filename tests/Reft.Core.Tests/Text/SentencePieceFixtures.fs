/// SentencePiece models written here, field by field.
module Reft.Core.Tests.Text.SentencePieceFixtures

open System
open System.Collections.Generic
open System.Text

let private varint (value: uint64) : byte list =
    let rec go (value: uint64) =
        if value < 0x80UL then
            [ byte value ]
        else
            byte (value &&& 0x7FUL ||| 0x80UL) :: go (value >>> 7)

    go value

let number (field: int) (value: int) : byte[] =
    [| yield! varint (uint64 field <<< 3); yield! varint (uint64 (int64 value)) |]

let bytes (field: int) (value: byte[]) : byte[] =
    [| yield! varint (uint64 (field <<< 3 ||| 2))
       yield! varint (uint64 value.Length)
       yield! value |]

let text (field: int) (value: string) : byte[] =
    bytes field (Encoding.UTF8.GetBytes value)

let single (field: int) (value: float32) : byte[] =
    [| yield! varint (uint64 (field <<< 3 ||| 5))
       yield! BitConverter.GetBytes value |]

/// A piece: its text, score and type.
let piece (token: string, score: float32, kind: int) : byte[] =
    Array.concat [ text 1 token; single 2 score; number 3 kind ] |> bytes 1

/// A model of pieces with what its trainer and its normalizer say.
let model (trainer: byte[] list) (normalizer: byte[] list) (pieces: (string * float32 * int) seq) : byte[] =
    Array.concat
        [ for p in pieces do
              piece p
          bytes 2 (Array.concat trainer)
          bytes 3 (Array.concat normalizer) ]

/// A double-array trie from UTF-8 strings to replacements, in the form of SentencePiece's precompiled maps.
let charsmap (rules: (string * string) list) : byte[] =
    let replacements = List<byte>()

    let entries =
        [ for from, into in rules do
              let offset = replacements.Count
              replacements.AddRange(Encoding.UTF8.GetBytes into)
              replacements.Add 0uy
              Encoding.UTF8.GetBytes from |> List.ofArray, offset ]

    let units = Dictionary<int, uint32>()
    let mutable nextBase = 256

    // Each node gets 256 places of its own: wasteful, and plainly right.
    let rec place (at: int) (label: uint32) (entries: (byte list * int) list) =
        let start = nextBase
        nextBase <- nextBase + 256
        let leaf = entries |> List.tryFind (fun (key, _) -> key.IsEmpty)
        let flag = if leaf.IsSome then 1u <<< 8 else 0u
        units[at] <- (uint32 (at ^^^ start) <<< 10) ||| flag ||| label

        leaf
        |> Option.iter (fun (_, offset) -> units[start] <- uint32 offset ||| (1u <<< 31))

        for first, group in
            entries
            |> List.filter (fun (key, _) -> not key.IsEmpty)
            |> List.groupBy (fst >> List.head) do
            place (start ^^^ int first) (uint32 first) (group |> List.map (fun (key, offset) -> key.Tail, offset))

    place 0 0u entries
    let count = nextBase

    [| yield! BitConverter.GetBytes(uint32 (4 * count))
       for i in 0 .. count - 1 do
           match units.TryGetValue i with
           | true, unit -> yield! BitConverter.GetBytes unit
           | _ -> yield! BitConverter.GetBytes 0u
       yield! replacements |]
