module Reft.Core.Tests.Tensors.ScopeTests

open Expecto
open Reft.Core
open Reft.Core.Tests.Tensors.Close

[<Tests>]
let tests =
    testList
        "Scope"
        [ test "run frees everything but the result" {
              scoped (fun () ->
                  let before = Reft.Core.Tests.Golden.liveTensors ()
                  let mutable inner = Unchecked.defaultof<Tensor>

                  let kept =
                      Scope.run (fun () ->
                          inner <- dsharp.ones 3
                          inner + 1.0)

                  Expect.equal (Tensor.TotalCount - before) 1L "one tensor more"
                  Expect.isTrue inner.IsInvalid "the intermediate is freed"
                  expectValues [ 2.0; 2.0; 2.0 ] kept "the result lives")
          }
          test "a result lives in the scope around, and no longer" {
              let mutable kept = Unchecked.defaultof<Tensor>
              scoped (fun () -> kept <- Scope.run (fun () -> Scope.run (fun () -> dsharp.ones 3 + 1.0)))
              Expect.isTrue kept.IsInvalid "freed with the outer scope"
          }
          test "a body may return a tensor that it was given" {
              scoped (fun () ->
                  let x = dsharp.ones 2
                  let same = Scope.run (fun () -> Scope.run (fun () -> x))
                  Expect.isTrue (obj.ReferenceEquals(x, same)) "the same tensor"
                  expectValues [ 1.0; 1.0 ] x "still alive")
          }
          test "pairs, triples and lists move out whole" {
              scoped (fun () ->
                  let before = Reft.Core.Tests.Golden.liveTensors ()
                  let a, b = Scope.run2 (fun () -> dsharp.ones 1 + 1.0, dsharp.ones 1 * 3.0)

                  let c, d, e =
                      Scope.run3 (fun () -> dsharp.ones 1, dsharp.zeros 1, dsharp.ones 1 * 5.0)

                  let rest = Scope.runList (fun () -> [ dsharp.ones 1 * 6.0; dsharp.ones 1 * 7.0 ])
                  Expect.equal (Tensor.TotalCount - before) 7L "seven tensors more"

                  expectValues
                      [ 2.0; 3.0; 1.0; 0.0; 5.0; 6.0; 7.0 ]
                      (dsharp.cat ([ a; b; c; d; e ] @ rest))
                      "all alive")
          }
          test "an exception frees everything" {
              let before = Reft.Core.Tests.Golden.liveTensors ()

              Expect.throwsT<System.InvalidOperationException>
                  (fun () ->
                      Scope.run (fun () ->
                          dsharp.ones 3 |> ignore
                          invalidOp "stop")
                      |> ignore)
                  "the exception passes through"

              Expect.equal Tensor.TotalCount before "nothing left"
          } ]
