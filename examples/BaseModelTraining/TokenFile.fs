/// Reads the token files that examples/BaseModel writes: little-endian 16-bit ids, one after another.
module BaseModelTraining.TokenFile

open System
open System.IO
open Reft.Core

let read (path: string) : int[] =
    let bytes = File.ReadAllBytes path

    if bytes.Length % 2 <> 0 then
        raise (
            InvalidDataException $"{path} is not a token file: expected an even number of bytes, found {bytes.Length}"
        )

    Array.init (bytes.Length / 2) (fun i -> int (BitConverter.ToUInt16(bytes, 2 * i)))

/// Windows of `length` tokens, each starting where the last one ended; `shift` moves all of them, so that no two epochs
/// cut the text at the same places.
let windows (length: int) (shift: int) (tokens: int[]) : Example[] =
    [| for start in shift..length .. tokens.Length - length -> tokens[start .. start + length - 1] |> Example.ofText |]
