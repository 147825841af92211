module Reft.Core.Tests.NativeTests

open Expecto
open Reft.Core

[<Tests>]
let tests =
    testList
        "Native"
        [ test "libtorch loads and computes" {
              Native.load ()
              use x = TorchSharp.torch.ones [| 2L; 3L |]
              use s = x.sum ()
              Expect.equal (s.item<float32>()) 6.0f "sum of ones"
          }
          test "load is idempotent" {
              Native.load ()
              Native.load ()
          } ]
