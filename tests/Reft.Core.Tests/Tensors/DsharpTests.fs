module Reft.Core.Tests.Tensors.DsharpTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests.Tensors.Close

let private rng = Rng.ofSeed 7L

let private case name body = testCase name (fun () -> scoped body)

let private m () =
    dsharp.tensor [ [ 1.0; 2.0; 3.0 ]; [ 4.0; 5.0; 6.0 ] ]

let private shape (t: Tensor) =
    t.shape |> Array.map int |> Array.toList

let private creation =
    testList
        "creation"
        [ case "tensor takes numbers, lists, arrays and rows" (fun () ->
              expectValues [ 1.5 ] (dsharp.tensor 1.5) "float"
              expectValues [ 1.5 ] (dsharp.tensor 1.5f) "float32"
              Expect.equal (shape (dsharp.tensor 3)) [] "a number is a scalar"
              expectValues [ 1.0; 2.0 ] (dsharp.tensor [| 1.0; 2.0 |]) "array"
              expectValues [ 1.0; 2.0 ] (dsharp.tensor (Seq.ofList [ 1.0f; 2.0f ])) "sequence"
              Expect.equal (shape (m ())) [ 2; 3 ] "rows"
              Expect.equal (shape (dsharp.tensor [ [| 1; 2 |]; [| 3; 4 |] ])) [ 2; 2 ] "rows as arrays")
          case "dtypes: numbers are fp32, whole numbers int64, unless one is given" (fun () ->
              Expect.equal (dsharp.tensor [ 1.0 ]).dtype dsharp.float32 "numbers"
              Expect.equal (dsharp.tensor [ 1; 2 ]).dtype dsharp.int64 "whole numbers"
              Expect.equal (dsharp.tensor 3L).dtype dsharp.int64 "a long"
              Expect.equal (dsharp.tensor [ true; false ]).dtype dsharp.bool "truth values"
              Expect.equal (dsharp.tensor [ [ true ] ]).dtype dsharp.bool "truth values in rows"
              Expect.equal (dsharp.tensor (1.0, dtype = dsharp.float64)).dtype dsharp.float64 "given"

              Expect.equal ((dsharp.tensor (0.1, dsharp.float64)).item<float>()) 0.1 "fp64 without a detour over fp32")
          case "rows of unequal length are refused" (fun () ->
              throwsWith [ "row 1"; "found 1" ] (fun () -> dsharp.tensor [ [ 1.0; 2.0 ]; [ 3.0 ] ]) "ragged")
          case "zeros, ones, full, eye, arange, linspace, onehot" (fun () ->
              expectValues [ 0.0; 0.0 ] (dsharp.zeros 2) "zeros"
              Expect.equal (shape (dsharp.zeros [ 2; 3 ])) [ 2; 3 ] "zeros of a shape"
              Expect.equal (shape (dsharp.ones [])) [] "a scalar one"
              expectValues [ 1.0; 1.0 ] (dsharp.ones 2) "ones"
              expectValues [ 2.5; 2.5 ] (dsharp.full ([ 2 ], 2.5)) "full"
              expectValues [ 7.0; 7.0 ] (dsharp.full (2, 7)) "full of a whole number"
              expectValues [ 1.0; 0.0; 0.0; 1.0 ] (dsharp.eye 2) "eye"
              Expect.equal (shape (dsharp.eye (2, 3))) [ 2; 3 ] "a part of eye"
              expectValues [ 0.0; 1.0; 2.0 ] (dsharp.arange 3) "arange"
              expectValues [ 2.0; 4.0 ] (dsharp.arange (6, start = 2, step = 2)) "arange with steps"
              expectValues [ 0.0; 0.5; 1.0 ] (dsharp.linspace (0.0, 1.0, 3)) "linspace"
              expectValues [ 0.0; 1.0; 0.0 ] (dsharp.onehot (3, 1)) "onehot"
              throwsWith [ "0 … 2"; "found 3" ] (fun () -> dsharp.onehot (3, 3)) "onehot outside")
          case "random tensors are functions of the stream" (fun () ->
              let a = dsharp.randn ([ 4; 5 ], rng)
              let b = rng |> dsharp.randn [ 4; 5 ]
              expectClose 0.0 a b "the same stream, the same numbers"
              let c = Rng.fork 1 rng |> dsharp.randn [ 4; 5 ]
              Expect.isFalse (a.allclose c) "another stream, other numbers"
              let u = rng |> dsharp.rand [ 100 ]
              Expect.isTrue (u |> dsharp.ge 0.0 |> _.all().item<bool>()) "rand is not negative"
              Expect.isTrue (u |> dsharp.lt 1.0 |> _.all().item<bool>()) "rand is less than one"
              Expect.equal (dsharp.rand ([ 2 ], rng, dtype = dsharp.float64)).dtype dsharp.float64 "a dtype"
              Expect.equal (shape (dsharp.randnLike (m (), rng))) [ 2; 3 ] "randnLike"
              Expect.equal (shape (dsharp.randLike (m (), rng))) [ 2; 3 ] "randLike")
          case "…Like" (fun () ->
              let x = dsharp.ones (2, dtype = dsharp.float64)
              expectValues [ 0.0; 0.0 ] (x |> dsharp.zerosLike) "zerosLike"
              expectValues [ 1.0; 1.0 ] (x |> dsharp.onesLike) "onesLike"
              expectValues [ 4.0; 4.0 ] (x |> dsharp.fullLike 4.0) "fullLike"
              Expect.equal (dsharp.fullLike (x, 4.0)).dtype dsharp.float64 "the dtype too") ]

let private shapes =
    testList
        "shape"
        [ case "views" (fun () ->
              Expect.equal (m () |> dsharp.view [ 3; -1 ] |> shape) [ 3; 2 ] "view"
              Expect.equal (m () |> dsharp.view -1 |> shape) [ 6 ] "view as a vector"
              Expect.equal (dsharp.view (m (), [ 6; 1 ]) |> shape) [ 6; 1 ] "view at once"
              Expect.equal (m () |> dsharp.viewAs (dsharp.zeros [ 3; 2 ]) |> shape) [ 3; 2 ] "viewAs"
              Expect.equal (m () |> dsharp.transpose |> dsharp.reshape [ 6 ] |> shape) [ 6 ] "reshape"
              Expect.equal (dsharp.zeros [ 2; 3; 4 ] |> dsharp.flatten 1 |> shape) [ 2; 12 ] "flatten from"
              Expect.equal (dsharp.zeros [ 2; 3; 4 ] |> dsharp.flatten |> shape) [ 24 ] "flatten all")
          case "orders of dimensions" (fun () ->
              Expect.equal (m () |> dsharp.transpose |> shape) [ 3; 2 ] "transpose a matrix"
              Expect.equal (dsharp.zeros [ 2; 3; 4 ] |> dsharp.transpose (1, 2) |> shape) [ 2; 4; 3 ] "transpose"
              Expect.equal (dsharp.zeros [ 2; 3; 4 ] |> dsharp.permute [ 2; 0; 1 ] |> shape) [ 4; 2; 3 ] "permute"
              throwsWith [ "[2; 3; 4]" ] (fun () -> dsharp.zeros [ 2; 3; 4 ] |> dsharp.transpose) "not a matrix"
              expectValues [ 3.0; 2.0; 1.0; 6.0; 5.0; 4.0 ] (m () |> dsharp.flip [ 1 ]) "flip")
          case "sizes of one" (fun () ->
              let x = dsharp.zeros [ 1; 3; 1 ]
              Expect.equal (x |> dsharp.squeeze |> shape) [ 3 ] "squeeze all"
              Expect.equal (x |> dsharp.squeeze -1 |> shape) [ 1; 3 ] "squeeze one"
              Expect.equal (x |> dsharp.unsqueeze 0 |> shape) [ 1; 1; 3; 1 ] "unsqueeze"
              Expect.equal (x |> dsharp.expand [ 5; 3; 2 ] |> shape) [ 5; 3; 2 ] "expand"
              Expect.equal (x |> dsharp.expandAs (dsharp.zeros [ 4; 3; 1 ]) |> shape) [ 4; 3; 1 ] "expandAs"
              expectValues [ 1.0; 2.0; 1.0; 2.0 ] (dsharp.tensor [ 1.0; 2.0 ] |> dsharp.repeat (-1, 2)) "repeat")
          case "joins and cuts take lists" (fun () ->
              let a, b = dsharp.tensor [ 1.0; 2.0 ], dsharp.tensor [ 3.0; 4.0 ]
              expectValues [ 1.0; 2.0; 3.0; 4.0 ] (dsharp.cat [ a; b ]) "cat a list"
              expectValues [ 1.0; 2.0; 3.0; 4.0 ] (dsharp.cat [| a; b |]) "cat an array"
              Expect.equal ([ m (); m () ] |> dsharp.cat 1 |> shape) [ 2; 6 ] "cat in a pipe"
              Expect.equal ([ a; b ] |> dsharp.stack 1 |> shape) [ 2; 2 ] "stack in a pipe"
              expectValues [ 1.0; 3.0; 2.0; 4.0 ] (dsharp.stack ([ a; b ], dim = 1)) "stack"
              expectValues [ 2.0; 5.0 ] (m () |> dsharp.unstack 1 |> List.item 1) "unstack"
              Expect.equal (m () |> dsharp.unstack |> List.length) 2 "unstack along 0"
              let parts = m () |> dsharp.split ([ 1; 2 ], dim = 1)
              Expect.equal (parts |> List.map shape) [ [ 2; 1 ]; [ 2; 2 ] ] "split")
          case "selections" (fun () ->
              expectValues [ 2.0; 3.0; 5.0; 6.0 ] (m () |> dsharp.narrow (1, 1, 2)) "narrow"
              expectValues [ 1.0; 3.0; 4.0; 6.0 ] (m () |> dsharp.slice (1, 0, 3, step = 2)) "slice"
              let indices = dsharp.tensor [ [ 2 ]; [ 0 ] ]
              expectValues [ 3.0; 4.0 ] (m () |> dsharp.gather (1, indices)) "gather"
              expectValues [ 4.0; 5.0; 6.0 ] (m () |> dsharp.indexSelect (0, dsharp.tensor [ 1 ])) "indexSelect"
              expectValues [ 1.0; 5.0 ] (m () |> dsharp.diagonal) "diagonal"
              expectValues [ 1.0; 0.0; 0.0; 4.0; 5.0; 0.0 ] (m () |> dsharp.tril) "tril"
              expectValues [ 0.0; 2.0; 3.0; 0.0; 0.0; 6.0 ] (dsharp.triu (m (), 1)) "triu") ]

let private pointwise =
    let x () = dsharp.tensor [ -1.0; 0.0; 2.0 ]
    let b () = dsharp.tensor [ 2.0; 4.0; -2.0 ]

    testList
        "pointwise"
        [ case "functions equal .NET's" (fun () ->
              let xs = [ 0.3; 0.7; 1.9 ]

              for name, (f: Tensor -> Tensor), expected in
                  [ "exp", dsharp.exp, exp
                    "log", dsharp.log, log
                    "log1p", dsharp.log1p, (fun x -> log (1.0 + x))
                    "sqrt", dsharp.sqrt, sqrt
                    "rsqrt", dsharp.rsqrt, (fun x -> 1.0 / sqrt x)
                    "square", dsharp.square, (fun x -> x * x)
                    "neg", dsharp.neg, (~-)
                    "reciprocal", dsharp.reciprocal, (fun x -> 1.0 / x)
                    "sin", dsharp.sin, sin
                    "cos", dsharp.cos, cos
                    "tan", dsharp.tan, tan
                    "tanh", dsharp.tanh, tanh
                    "sigmoid", dsharp.sigmoid, (fun x -> 1.0 / (1.0 + exp -x))
                    "silu", dsharp.silu, (fun x -> x / (1.0 + exp -x))
                    "softplus", dsharp.softplus, (fun x -> log (1.0 + exp x))
                    "floor", dsharp.floor, floor
                    "ceil", dsharp.ceil, ceil
                    "round", dsharp.round, round ] do
                  expectValues (List.map expected xs) (dsharp.tensor xs |> f) name)
          case "softplus has its derivatives far from 0 too" (fun () ->
              let far = dsharp.tensor [ -100.0; 0.0; 100.0 ]
              let first = far |> dsharp.grad (dsharp.softplus >> dsharp.sum)

              let second =
                  far |> dsharp.grad (dsharp.grad (dsharp.softplus >> dsharp.sum) >> dsharp.sum)

              expectValues [ 0.0; 0.5; 1.0 ] first "first"
              expectValues [ 0.0; 0.25; 0.0 ] second "second")
          case "functions of signs" (fun () ->
              expectValues [ 1.0; 0.0; 2.0 ] (x () |> dsharp.abs) "abs"
              expectValues [ -1.0; 0.0; 1.0 ] (x () |> dsharp.sign) "sign"
              expectValues [ 0.0; 0.0; 2.0 ] (x () |> dsharp.relu) "relu"
              expectValues [ -0.01; 0.0; 2.0 ] (x () |> dsharp.leakyRelu) "leakyRelu"
              expectValues [ -0.5; 0.0; 2.0 ] (x () |> dsharp.leakyRelu 0.5) "leakyRelu with a slope"
              expectValues [ -0.15865525; 0.0; 1.9544997 ] (x () |> dsharp.gelu) "gelu"
              expectValues [ 0.0; 1.0 ] (dsharp.tensor [ 1.0; nan ] |> dsharp.isnan) "isnan")
          case "arithmetic takes tensors and numbers, and twins pipe the first operand" (fun () ->
              expectValues [ 1.0; 4.0; 0.0 ] (dsharp.add (x (), b ())) "add"
              expectValues [ 0.0; 1.0; 3.0 ] (dsharp.add (x (), 1.0)) "add a number"
              expectValues [ 0.0; 1.0; 3.0 ] (dsharp.add (x (), 1)) "add a whole number"
              expectValues [ 1.0; 4.0; 0.0 ] (x () |> dsharp.add (b ())) "pipe add"
              expectValues [ -3.0; -2.0; 0.0 ] (x () |> dsharp.sub 2.0) "pipe sub: x − 2"
              expectValues [ -3.0; -4.0; 4.0 ] (x () |> dsharp.sub (b ())) "pipe sub: x − b"
              expectValues [ -2.0; 0.0; 4.0 ] (dsharp.mul (x (), 2.0)) "mul"
              expectValues [ -2.0; 0.0; 4.0 ] (x () |> dsharp.mul 2) "pipe mul"
              expectValues [ -2.0; 0.0; -4.0 ] (x () |> dsharp.mul (b ())) "pipe mul by a tensor"
              expectValues [ -0.5; 0.0; -1.0 ] (x () |> dsharp.div (b ())) "pipe div"
              expectValues [ -0.5; 0.0; 1.0 ] (dsharp.div (x (), 2.0)) "div"
              expectValues [ 1.0; 0.0; 4.0 ] (dsharp.pow (x (), 2.0)) "pow"
              expectValues [ -1.0; 0.0; 8.0 ] (x () |> dsharp.pow 3) "pipe pow"
              expectValues [ 1.0; 0.0; 0.25 ] (x () |> dsharp.pow (b ())) "pipe pow by a tensor")
          case "comparisons take tensors and numbers" (fun () ->
              expectValues [ 0.0; 0.0; 1.0 ] (dsharp.gt (x (), 0.0)) "gt"
              expectValues [ 0.0; 1.0; 1.0 ] (x () |> dsharp.ge 0) "ge"
              expectValues [ 1.0; 0.0; 0.0 ] (x () |> dsharp.lt 0.0) "lt"
              expectValues [ 1.0; 1.0; 0.0 ] (x () |> dsharp.le (b ())) "le"
              expectValues [ 0.0; 1.0; 0.0 ] (x () |> dsharp.eq 0.0) "eq"
              expectValues [ 1.0; 1.0; 1.0 ] (x () |> dsharp.ne (b ())) "ne")
          case "clamp, where, extremes of two, cast" (fun () ->
              expectValues [ 0.0; 0.0; 1.0 ] (dsharp.clamp (x (), 0.0, 1.0)) "clamp"
              expectValues [ -1.0; 0.0; 1.0 ] (dsharp.clamp (x (), high = 1.0)) "clamp from above"
              expectValues [ 0.0; 0.0; 1.0 ] (x () |> dsharp.clamp (0.0, 1.0)) "pipe clamp"
              expectValues [ 0.0; 0.0; 2.0 ] (x () |> dsharp.clamp (low = 0.0)) "pipe clamp from below"
              expectValues [ 2.0; 4.0; 2.0 ] (dsharp.where (x () |> dsharp.gt 0.0, x (), b () |> dsharp.abs)) "where"
              expectValues [ 2.0; 4.0; 2.0 ] (dsharp.maximum (x (), b ())) "maximum"
              expectValues [ -1.0; 0.0; -2.0 ] (dsharp.minimum (x (), b ())) "minimum"
              Expect.equal (x () |> dsharp.cast dsharp.float64).dtype dsharp.float64 "cast") ]

let private reductions =
    testList
        "reduction"
        [ case "over everything" (fun () ->
              expectValues [ 21.0 ] (m () |> dsharp.sum) "sum"
              expectValues [ 3.5 ] (m () |> dsharp.mean) "mean"
              expectValues [ 3.5 ] (m () |> dsharp.variance) "variance"
              expectValues [ sqrt 3.5 ] (m () |> dsharp.stddev) "stddev"
              expectValues [ 17.5 / 6.0 ] (dsharp.variance (m (), unbiased = false)) "variance over n"
              expectValues [ sqrt (17.5 / 6.0) ] (dsharp.stddev (m (), unbiased = false)) "stddev over n"
              expectValues [ 6.0 ] (m () |> dsharp.max) "max"
              expectValues [ 1.0 ] (m () |> dsharp.min) "min"
              expectValues [ 5.0 ] (m () |> dsharp.argmax) "argmax"
              expectValues [ 0.0 ] (m () |> dsharp.argmin) "argmin"
              expectValues [ sqrt 91.0 ] (m () |> dsharp.norm) "norm"
              expectValues [ 21.0 ] (dsharp.norm (m (), order = 1.0)) "1-norm"
              expectValues [ 720.0 ] (m () |> dsharp.prod) "prod"
              expectValues [ 6.0 ] (m () |> dsharp.trace) "trace")
          case "over a dimension, at once and in a pipe" (fun () ->
              expectValues [ 6.0; 15.0 ] (dsharp.sum (m (), 1)) "sum"
              expectValues [ 6.0; 15.0 ] (m () |> dsharp.sum -1) "pipe sum"
              Expect.equal (m () |> dsharp.sum (-1, keepDim = true) |> shape) [ 2; 1 ] "keepDim"
              expectValues [ 2.0; 5.0 ] (m () |> dsharp.mean 1) "mean"
              expectValues [ 1.0; 1.0 ] (m () |> dsharp.variance 1) "variance"

              expectValues
                  [ sqrt (2.0 / 3.0); sqrt (2.0 / 3.0) ]
                  (m () |> dsharp.stddev (1, unbiased = false))
                  "stddev"

              expectValues [ 3.0; 6.0 ] (m () |> dsharp.max -1) "max"
              expectValues [ 1.0; 2.0; 3.0 ] (m () |> dsharp.min 0) "min"
              expectValues [ 2.0; 2.0 ] (m () |> dsharp.argmax -1) "argmax"
              expectValues [ 0.0; 0.0 ] (m () |> dsharp.argmin -1) "argmin"
              expectValues [ sqrt 14.0; sqrt 77.0 ] (m () |> dsharp.norm 1) "norm"
              expectValues [ 6.0; 120.0 ] (m () |> dsharp.prod 1) "prod"
              expectValues [ 1.0; 3.0; 6.0; 4.0; 9.0; 15.0 ] (m () |> dsharp.cumsum 1) "cumsum")
          case "of two tensors" (fun () ->
              let a, b = dsharp.tensor [ 1.0; 5.0 ], dsharp.tensor [ 3.0; 2.0 ]
              expectValues [ 3.0; 5.0 ] (dsharp.max (a, b)) "max"
              expectValues [ 1.0; 2.0 ] (dsharp.min (a, b)) "min")
          case "softmax and its logarithms" (fun () ->
              let x = dsharp.tensor [ 0.0; log 3.0 ]
              expectValues [ 0.25; 0.75 ] (x |> dsharp.softmax -1) "softmax"
              expectValues [ log 0.25; log 0.75 ] (x |> dsharp.logsoftmax -1) "logsoftmax"
              expectValues [ log 4.0 ] (x |> dsharp.logsumexp 0) "logsumexp"
              Expect.equal (dsharp.logsumexp (x, 0, keepDim = true) |> shape) [ 1 ] "keepDim") ]

let private products =
    let a () =
        dsharp.tensor [ [ 1.0; 2.0 ]; [ 3.0; 4.0 ] ]

    let v () = dsharp.tensor [ 1.0; -1.0 ]

    testList
        "products"
        [ case "matmul, mm, bmm, dot, outer, einsum" (fun () ->
              expectValues [ -1.0; -1.0 ] (dsharp.matmul (a (), v ())) "matrix · vector"
              expectValues [ -2.0; -2.0 ] (v () |> dsharp.matmul (a ())) "vector · matrix"
              expectValues [ 7.0; 10.0; 15.0; 22.0 ] (a () |> dsharp.mm (a ())) "mm"
              let batch = dsharp.stack [ a (); a () ]
              Expect.equal (batch |> dsharp.bmm batch |> shape) [ 2; 2; 2 ] "bmm"
              Expect.equal (batch |> dsharp.matmul (a ()) |> shape) [ 2; 2; 2 ] "broadcast matmul"
              expectValues [ 2.0 ] (v () |> dsharp.dot (v ())) "dot"
              expectValues [ 1.0; -1.0; -1.0; 1.0 ] (dsharp.outer (v (), v ())) "outer"
              expectValues [ -1.0; -1.0 ] (dsharp.einsum ("ij,j->i", [ a (); v () ])) "einsum"
              expectValues [ 5.0 ] ([ a () ] |> dsharp.einsum "ii->") "pipe einsum")
          case "operands that do not fit are refused before libtorch sees them" (fun () ->
              let refused what parts body = throwsWith parts body what
              let z (shape: int list) = dsharp.zeros shape

              refused "inner" [ "k = 3"; "k = 2"; "[2; 3]"; "[2; 2]" ] (fun () ->
                  dsharp.matmul (z [ 2; 3 ], z [ 2; 2 ]))

              refused "vector" [ "k = 2"; "k = 3" ] (fun () -> dsharp.matmul (z [ 2; 2 ], z [ 3 ]))
              refused "scalar" [ "at least one dimension" ] (fun () -> dsharp.matmul (z [], z [ 3 ]))
              refused "batch" [ "batch" ] (fun () -> dsharp.matmul (z [ 2; 4; 3 ], z [ 5; 3; 4 ]))

              refused "dtype" [ "one dtype" ] (fun () ->
                  z [ 2; 2 ] |> dsharp.matmul (dsharp.zeros ([ 2; 2 ], dsharp.float64)))

              refused "mm" [ "[n, k]" ] (fun () -> dsharp.mm (z [ 2; 3 ], z [ 2; 3 ]))
              refused "bmm" [ "[b, n, k]" ] (fun () -> dsharp.bmm (z [ 2; 3; 4 ], z [ 3; 4; 2 ]))
              refused "dot" [ "one length" ] (fun () -> dsharp.dot (z [ 2 ], z [ 3 ]))
              refused "outer" [ "two vectors" ] (fun () -> dsharp.outer (z [ 2; 2 ], z [ 3 ]))

              Expect.throws
                  (fun () -> dsharp.einsum ("ij,jk->ik", [ z [ 2; 3 ]; z [ 2; 3 ] ]) |> ignore)
                  "einsum throws") ]

let private losses =
    testList
        "losses"
        [ case "equal their formulas" (fun () ->
              let x, t = dsharp.tensor [ 1.0; 4.0 ], dsharp.tensor [ 0.0; 2.0 ]
              expectValues [ 2.5 ] (x |> dsharp.mseLoss t) "mse"
              expectValues [ 5.0 ] (dsharp.mseLoss (x, t, reduction = torch.nn.Reduction.Sum)) "summed mse"
              let p, y = dsharp.tensor [ 0.25; 0.5 ], dsharp.tensor [ 1.0; 0.0 ]
              expectValues [ (log 4.0 + log 2.0) / 2.0 ] (p |> dsharp.bceLoss y) "bce"
              let logits = dsharp.tensor [ [ 0.0; log 3.0 ]; [ 0.0; 0.0 ] ]
              let classes = dsharp.tensor [ 1; 0 ]
              let expected = (-(log 0.75) + log 2.0) / 2.0
              expectValues [ expected ] (logits |> dsharp.crossEntropyLoss classes) "cross entropy"
              expectValues [ expected ] (logits |> dsharp.logsoftmax 1 |> dsharp.nllLoss classes) "nll"
              let ignored = dsharp.tensor [ 1; -100 ]
              expectValues [ -(log 0.75) ] (logits |> dsharp.crossEntropyLoss ignored) "−100 is not counted"

              expectValues
                  [ -(log 0.75); log 2.0 ]
                  (dsharp.crossEntropyLoss (logits, classes, reduction = torch.nn.Reduction.None))
                  "one by one")
          case "shapes that would broadcast silently are refused" (fun () ->
              throwsWith [ "[2]"; "[2; 1]" ] (fun () -> dsharp.zeros 2 |> dsharp.mseLoss (dsharp.zeros [ 2; 1 ])) "mse"

              throwsWith [ "[2]"; "[1]" ] (fun () -> dsharp.zeros 2 |> dsharp.bceLoss (dsharp.zeros 1)) "bce") ]

[<Tests>]
let tests =
    testList "dsharp" [ creation; shapes; pointwise; reductions; products; losses ]
