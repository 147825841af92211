module Reft.Core.Tests.Tensors.Close

open Expecto
open Reft.Core

/// Tensors of one shape, equal within a tolerance relative to the larger of 1 and the largest expected element.
let expectClose (tolerance: float) (expected: Tensor) (actual: Tensor) (message: string) =
    Expect.equal (List.ofArray actual.shape) (List.ofArray expected.shape) $"{message}: shape"

    let error =
        Scope.free (fun () ->
            let wide (t: Tensor) =
                t.detach () |> dsharp.cast dsharp.float64

            let expected, actual = wide expected, wide actual
            let scale = max 1.0 (expected.abs().max().item<float>())
            (expected - actual).abs().max().item<float>() / scale)

    // Not (error <= tolerance), so that a NaN fails.
    Expect.isTrue (error <= tolerance) $"{message}: relative error {error} exceeds {tolerance}"

/// A vector or scalar with the given elements, whatever its dtype.
let expectValues (expected: float list) (actual: Tensor) (message: string) =
    let values =
        Scope.free (fun () ->
            (actual.detach () |> dsharp.cast dsharp.float64).reshape(-1L).data<float>().ToArray()
            |> Array.toList)

    Expect.equal values.Length expected.Length $"{message}: number of elements"

    List.iter2
        (fun expected actual ->
            Expect.isTrue
                (abs (expected - actual) <= 1e-5 * max 1.0 (abs expected))
                $"{message}: expected {expected}, found {actual}")
        expected
        values

/// Runs a test's body in its own dispose scope.
let scoped (body: unit -> unit) : unit = Scope.free body

let throwsWith (parts: string list) (body: unit -> Tensor) (message: string) =
    match
        (try
            body () |> ignore
            None
         with :? System.ArgumentException as e ->
             Some e.Message)
    with
    | None -> failtest $"{message}: nothing was thrown"
    | Some text ->
        for part in parts do
            Expect.stringContains text part message
