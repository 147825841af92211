module Reft.Core.Tests.Tensors.DifferentiateTests

open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Tests.Tensors.Close

let private case name body = testCase name (fun () -> scoped body)

let private scalar (x: float) = dsharp.tensor (x, dsharp.float64)
let private vector (xs: float list) = dsharp.tensor (xs, dsharp.float64)

let private draw (seed: int) (shape: int list) =
    dsharp.randn (shape, Rng.ofSeed (int64 seed), dtype = dsharp.float64)

/// Rosenbrock's function of a vector.
let private rosenbrock (x: Tensor) =
    let n = int x.shape[0]
    let head, tail = x |> dsharp.narrow (0, 0, n - 1), x |> dsharp.narrow (0, 1, n - 1)

    (100.0 * dsharp.square (tail - dsharp.square head) + dsharp.square (1.0 - head))
    |> dsharp.sum

/// A scalar function with every kind of second derivative.
let private wavy (x: Tensor) =
    dsharp.sum (dsharp.sin x * dsharp.exp (0.3 * x))
    + dsharp.pow (dsharp.sum x, 2.0)

/// A vector function of a vector, more results than arguments or fewer, by the matrix.
let private layer (w: Tensor) (x: Tensor) = w |> dsharp.matmul x |> dsharp.tanh

let private field (x: Tensor) =
    dsharp.stack [ x[0] * x[1]; dsharp.sin x[2] * x[0]; dsharp.exp x[1] + x[2] * x[2] ]

let private closedForms =
    testList
        "closed forms"
        [ case "derivatives of a scalar" (fun () ->
              let x = scalar 0.7
              let cube x = dsharp.pow (x, 3.0)
              expectClose 1e-12 (scalar (cos 0.7)) (dsharp.diff dsharp.sin x) "diff sin"
              expectClose 1e-12 (scalar (6.0 * 0.7)) (dsharp.diff2 cube x) "diff2"
              expectClose 1e-12 (scalar 6.0) (dsharp.diffn 3 cube x) "diffn 3"
              expectClose 1e-12 (scalar 0.0) (dsharp.diffn 5 cube x) "beyond the degree: zero"
              expectClose 1e-12 (scalar (-cos 0.7)) (dsharp.diffn 3 dsharp.sin x) "third derivative of sin"
              expectClose 1e-12 (cube x) (dsharp.diffn 0 cube x) "order zero is the value"
              let all = dsharp.ffdiffn 3 cube x
              Expect.equal all.Length 4 "value and three derivatives"
              expectClose 1e-12 (vector [ 0.343; 1.47; 4.2; 6.0 ]) (dsharp.stack all) "ffdiffn")
          case "of a tensor-valued function of a scalar" (fun () ->
              let f (x: Tensor) =
                  dsharp.stack [ x * x; dsharp.sin x; 2.0 * x ]

              let fx, d = dsharp.fdiff f (scalar 2.0)
              expectClose 1e-12 (vector [ 4.0; sin 2.0; 4.0 ]) fx "value"
              expectClose 1e-12 (vector [ 4.0; cos 2.0; 2.0 ]) d "derivative"
              expectClose 1e-12 (vector [ 2.0; -sin 2.0; 0.0 ]) (dsharp.diff2 f (scalar 2.0)) "second derivative")
          case "of a quadratic form" (fun () ->
              let a = draw 1 [ 4; 4 ]
              let x, v = draw 2 [ 4 ], draw 3 [ 4 ]
              let f x = a |> dsharp.matmul x |> dsharp.dot x
              let symmetric = a + dsharp.transpose a
              let g = symmetric |> dsharp.matmul x
              expectClose 1e-12 g (dsharp.grad f x) "∇f = (A + Aᵀ) x"
              expectClose 1e-12 symmetric (dsharp.hessian f x) "H = A + Aᵀ"
              expectClose 1e-12 (symmetric |> dsharp.matmul v) (dsharp.hessianv f x v) "H v"
              expectClose 1e-12 (g |> dsharp.dot v) (dsharp.gradv f x v) "∇f · v"
              expectClose 1e-12 (symmetric |> dsharp.trace) (dsharp.laplacian f x) "Laplacian")
          case "of a linear function" (fun () ->
              let w = draw 1 [ 3; 4 ]
              let x, v, u = draw 2 [ 4 ], draw 3 [ 4 ], draw 4 [ 3 ]
              let f x = w |> dsharp.matmul x
              expectClose 1e-12 w (dsharp.jacobian f x) "J = W"
              expectClose 1e-12 (f v) (dsharp.jacobianv f x v) "J v = W v"
              expectClose 1e-12 (u |> dsharp.matmul w) (dsharp.jacobianTv f x u) "Jᵀ u = Wᵀ u"
              expectClose 0.0 (dsharp.zerosLike (dsharp.eye 4)) (dsharp.hessian dsharp.sum x) "no curvature"
              expectClose 0.0 (dsharp.zerosLike x) (dsharp.hessianv dsharp.sum x v) "H v = 0")
          case "curl and divergence" (fun () ->
              let x = vector [ 0.5; -0.3; 1.2 ]
              let c = vector [ exp -0.3 - 0.5 * cos 1.2; 0.0; sin 1.2 - 0.5 ]
              let d = scalar (-0.3 + 0.0 + 2.4)
              expectClose 1e-12 c (dsharp.curl field x) "curl"
              expectClose 1e-12 d (dsharp.divergence field x) "divergence"
              let c', d' = dsharp.curldivergence field x
              expectClose 1e-12 c c' "curldivergence: curl"
              expectClose 1e-12 d d' "curldivergence: divergence"
              let potential x = dsharp.grad wavy x
              expectClose 1e-12 (dsharp.zeros 3) (dsharp.curl potential x) "gradients have no curl")
          case "a gradient has the argument's shape" (fun () ->
              let x = draw 1 [ 2; 3 ]
              expectClose 1e-12 (2.0 * x) (dsharp.grad (dsharp.square >> dsharp.sum) x) "a matrix"
              expectClose 1e-12 (2.0 * x) (dsharp.hessianv (dsharp.square >> dsharp.sum) x x) "H v too") ]

let private againstNumeric =
    let first, second = 1e-5, 1e-3

    testList
        "against differences"
        [ case "scalars" (fun () ->
              let f x = dsharp.exp (dsharp.sin x) * x
              let x = scalar 0.4
              expectClose 1e-8 (dsharp.numdiff first f x) (dsharp.diff f x) "diff"
              expectClose 1e-5 (dsharp.numdiff2 second f x) (dsharp.diff2 f x) "diff2"
              expectClose 1e-4 (dsharp.numdiffn 1e-3 3 f x) (dsharp.diffn 3 f x) "diffn")
          case "scalar functions of a vector" (fun () ->
              for f in [ wavy; rosenbrock ] do
                  let x, v = draw 5 [ 4 ], draw 6 [ 4 ]
                  expectClose 1e-7 (dsharp.numgrad first f x) (dsharp.grad f x) "grad"
                  expectClose 1e-7 (dsharp.numgradv first f x v) (dsharp.gradv f x v) "gradv"
                  expectClose 1e-5 (dsharp.numhessian second f x) (dsharp.hessian f x) "hessian"
                  expectClose 1e-5 (dsharp.numhessianv second f x v) (dsharp.hessianv f x v) "hessianv"
                  expectClose 1e-5 (dsharp.numlaplacian second f x) (dsharp.laplacian f x) "laplacian"
                  let ng, nh = dsharp.numgradhessian second f x
                  let g, h = dsharp.gradhessian f x
                  expectClose 1e-4 ng g "gradhessian: gradient"
                  expectClose 1e-5 nh h "gradhessian: Hessian"
                  let gv, hv = dsharp.gradhessianv f x v
                  expectClose 1e-7 (dsharp.numgradv first f x v) gv "gradhessianv: ∇f · v"
                  expectClose 1e-5 (dsharp.numhessianv second f x v) hv "gradhessianv: H v")
          case "vector functions, wide and tall" (fun () ->
              for outputs, inputs in [ 3, 5; 5, 3; 4, 4 ] do
                  let f = layer (draw 7 [ outputs; inputs ])
                  let x, v, u = draw 8 [ inputs ], draw 9 [ inputs ], draw 10 [ outputs ]
                  expectClose 1e-8 (dsharp.numjacobian first f x) (dsharp.jacobian f x) "jacobian"
                  expectClose 1e-8 (dsharp.numjacobianv first f x v) (dsharp.jacobianv f x v) "jacobianv"
                  expectClose 1e-8 (dsharp.numjacobianTv first f x u) (dsharp.jacobianTv f x u) "jacobianTv")
          case "vector fields" (fun () ->
              let x = draw 11 [ 3 ]
              expectClose 1e-8 (dsharp.numcurl first field x) (dsharp.curl field x) "curl"
              expectClose 1e-8 (dsharp.numdivergence first field x) (dsharp.divergence field x) "divergence"
              let nc, nd = dsharp.numcurldivergence first field x
              let c, d = dsharp.curldivergence field x
              expectClose 1e-8 nc c "curl of both"
              expectClose 1e-8 nd d "divergence of both")
          case "the f twins return the value first, exact and numeric" (fun () ->
              let s, x, v = scalar 0.4, draw 12 [ 3 ], draw 13 [ 3 ]
              let f, g = wavy, layer (draw 14 [ 3; 3 ])

              let pairs =
                  [ "diff", dsharp.fdiff dsharp.exp s, dsharp.numfdiff first dsharp.exp s, dsharp.exp s
                    "diff2", dsharp.fdiff2 dsharp.exp s, dsharp.numfdiff2 second dsharp.exp s, dsharp.exp s
                    "diffn", dsharp.fdiffn 2 dsharp.exp s, dsharp.numfdiffn second 2 dsharp.exp s, dsharp.exp s
                    "grad", dsharp.fgrad f x, dsharp.numfgrad first f x, f x
                    "gradv", dsharp.fgradv f x v, dsharp.numfgradv first f x v, f x
                    "hessian", dsharp.fhessian f x, dsharp.numfhessian second f x, f x
                    "hessianv", dsharp.fhessianv f x v, dsharp.numfhessianv second f x v, f x
                    "laplacian", dsharp.flaplacian f x, dsharp.numflaplacian second f x, f x
                    "jacobian", dsharp.fjacobian g x, dsharp.numfjacobian first g x, g x
                    "jacobianv", dsharp.fjacobianv g x v, dsharp.numfjacobianv first g x v, g x
                    "jacobianTv", dsharp.fjacobianTv g x v, dsharp.numfjacobianTv first g x v, g x
                    "curl", dsharp.fcurl field x, dsharp.numfcurl first field x, field x
                    "divergence", dsharp.fdivergence field x, dsharp.numfdivergence first field x, field x ]

              for name, (value, exact), (value', numeric), expected in pairs do
                  expectClose 1e-12 expected value $"f{name}: value"
                  expectClose 1e-12 expected value' $"numf{name}: value"
                  expectClose 1e-5 numeric exact $"f{name}: derivative"

              let fx, g', h = dsharp.fgradhessian f x
              let fx', ng, nh = dsharp.numfgradhessian second f x
              expectClose 1e-12 fx' fx "fgradhessian: value"
              expectClose 1e-4 ng g' "fgradhessian: gradient"
              expectClose 1e-5 nh h "fgradhessian: Hessian"
              let fx, gv, hv = dsharp.fgradhessianv f x v
              expectClose 1e-12 (f x) fx "fgradhessianv: value"
              expectClose 1e-12 (dsharp.gradv f x v) gv "fgradhessianv: ∇f · v"
              expectClose 1e-12 (h |> dsharp.matmul v) hv "fgradhessianv: H v"
              let fx, c, d = dsharp.fcurldivergence field x
              let fx', nc, nd = dsharp.numfcurldivergence first field x
              expectClose 1e-12 fx' fx "fcurldivergence: value"
              expectClose 1e-7 nc c "fcurldivergence: curl"
              expectClose 1e-7 nd d "fcurldivergence: divergence") ]

let private nested =
    testList
        "nested"
        [ case "grad of grad of grad of grad" (fun () ->
              let quartic x = dsharp.pow (x, 4.0)
              let d = dsharp.grad
              expectClose 1e-12 (scalar (12.0 * 0.49)) (d (d quartic) (scalar 0.7)) "twice"
              expectClose 1e-12 (scalar (24.0 * 0.7)) (d (d (d quartic)) (scalar 0.7)) "three times"
              expectClose 1e-12 (scalar 24.0) (d (d (d (d quartic))) (scalar 0.7)) "four times"
              expectClose 1e-12 (scalar 0.0) (d (d (d (d (d quartic)))) (scalar 0.7)) "five times: zero, no error")
          case "diff within diff keeps the variables apart" (fun () ->
              // d/dx (x · d/dy (x + y)) = 1: the classic test of perturbation confusion.
              let f x =
                  x * dsharp.diff (fun y -> x + y) (scalar 1.0)

              expectClose 0.0 (scalar 1.0) (dsharp.diff f (scalar 1.0)) "x · d/dy (x + y)"

              let g x =
                  x * dsharp.diff (fun y -> x * y) (scalar 2.0)

              expectClose 0.0 (scalar 6.0) (dsharp.diff g (scalar 3.0)) "x · d/dy (x y) = x²")
          case "an outer derivative sees a captured tensor" (fun () ->
              let x0 = draw 1 [ 3 ]

              let penalty w =
                  dsharp.grad (fun x -> dsharp.sum (w * dsharp.pow (x, 3.0))) x0
                  |> dsharp.square
                  |> dsharp.sum

              let w = draw 2 [ 3 ]
              expectClose 1e-10 (18.0 * w * dsharp.pow (x0, 4.0)) (dsharp.grad penalty w) "gradient penalty"
              let value, gradients = Autograd.valueAndGradients (List.head >> penalty) [ w ]
              expectClose 1e-12 (penalty w) value "its value"
              expectClose 1e-10 (18.0 * w * dsharp.pow (x0, 4.0)) gradients.Head "by several tensors at once"
              let leaf = Autograd.variable w
              let y = Autograd.recording (fun () -> penalty leaf)
              expectClose 1e-10 gradients.Head (Autograd.gradients y [ leaf ]).Head "by hand, from a recording")
          case "products inside products" (fun () ->
              let x, v = draw 3 [ 4 ], draw 4 [ 4 ]
              let h = dsharp.hessian wavy x
              expectClose 1e-10 (h |> dsharp.matmul v) (dsharp.jacobianv (dsharp.grad wavy) x v) "J v of grad = H v"

              expectClose 1e-10 (h |> dsharp.matmul v) (dsharp.jacobianTv (dsharp.grad wavy) x v) "Jᵀ v of grad = H v"

              expectClose 1e-10 (h |> dsharp.matmul v) (dsharp.grad (fun x -> dsharp.gradv wavy x v) x) "grad of gradv"

              expectClose 1e-10 h (dsharp.jacobian (dsharp.grad wavy) x) "Jacobian of grad = H"

              expectClose
                  1e-8
                  (dsharp.numgrad 1e-5 (dsharp.laplacian wavy) x)
                  (dsharp.grad (dsharp.laplacian wavy) x)
                  "grad of the Laplacian"

              expectClose
                  1e-7
                  (dsharp.numgrad 1e-5 (fun x -> dsharp.hessianv wavy x v |> dsharp.sum) x)
                  (dsharp.grad (fun x -> dsharp.hessianv wavy x v |> dsharp.sum) x)
                  "grad of H v")
          case "a jacobianv inside a grad" (fun () ->
              let w, x, v = draw 5 [ 3; 4 ], draw 6 [ 4 ], draw 7 [ 4 ]

              let f x =
                  dsharp.jacobianv (layer w) x v |> dsharp.square |> dsharp.sum

              expectClose 1e-8 (dsharp.numgrad 1e-5 f x) (dsharp.grad f x) "grad |J v|²")
          case "derivatives work under no_grad, as in generation" (fun () ->
              use _ = torch.no_grad ()
              expectClose 1e-12 (scalar 1.4) (dsharp.diff dsharp.square (scalar 0.7)) "diff"
              expectClose 1e-12 (scalar 2.0) (dsharp.diff (dsharp.diff dsharp.square) (scalar 0.7)) "diff of diff")
          case "results at the top are plain numbers" (fun () ->
              let fx, g = dsharp.fgrad wavy (draw 8 [ 3 ])
              Expect.isFalse fx.requires_grad "value"
              Expect.isFalse g.requires_grad "gradient"
              let x = draw 8 [ 3 ]
              dsharp.hessian wavy x |> ignore
              Expect.isFalse x.requires_grad "the argument is left alone")
          case "the value may be the argument itself" (fun () ->
              let x = scalar 3.0
              let fx, d = dsharp.fdiff id x
              expectClose 0.0 (scalar 3.0) fx "value"
              expectClose 0.0 (scalar 1.0) d "derivative"
              expectClose 0.0 (scalar 3.0) x "still alive") ]

/// FsCheck draws a seed and sizes; the tensors come from them, so that a failing case is two or three numbers.
let private law name (holds: int -> int -> int -> bool) =
    testPropertyWithConfig
        { FsCheckConfig.defaultConfig with
            maxTest = 40 }
        name
        (fun (seed: int) (NonNegativeInt n) (NonNegativeInt m) ->
            Scope.free (fun () -> holds seed (1 + n % 5) (1 + m % 5)))

let private close (a: Tensor) (b: Tensor) =
    a.allclose (b, rtol = 1e-8, atol = 1e-9)

let private laws =
    testList
        "laws"
        [ law "u · (J v) = (Jᵀ u) · v" (fun seed n m ->
              let f = layer (draw seed [ m; n ])
              let x, v, u = draw (seed + 1) [ n ], draw (seed + 2) [ n ], draw (seed + 3) [ m ]
              close (dsharp.jacobianv f x v |> dsharp.dot u) (dsharp.jacobianTv f x u |> dsharp.dot v))
          law "the Hessian is symmetric" (fun seed n _ ->
              let h = dsharp.hessian wavy (draw seed [ n ])
              close h (dsharp.transpose h))
          law "the gradient is linear in f" (fun seed n _ ->
              let x = draw seed [ n ]
              let a, b = float (seed % 7), 0.5

              let sum x =
                  a * wavy x + b * dsharp.sum (dsharp.tanh x)

              close (dsharp.grad sum x) (a * dsharp.grad wavy x + b * dsharp.grad (dsharp.tanh >> dsharp.sum) x))
          law "products are linear in v" (fun seed n m ->
              let f = layer (draw seed [ m; n ])
              let x, v, w = draw (seed + 1) [ n ], draw (seed + 2) [ n ], draw (seed + 3) [ n ]
              close (dsharp.jacobianv f x (v + 2.0 * w)) (dsharp.jacobianv f x v + 2.0 * dsharp.jacobianv f x w))
          law "chain rule: J of a composition is the product of Js" (fun seed n m ->
              let f, g = layer (draw seed [ m; n ]), layer (draw (seed + 1) [ n; m ])
              let x = draw (seed + 2) [ n ]
              close (dsharp.jacobian (f >> g) x) (dsharp.jacobian g (f x) |> dsharp.matmul (dsharp.jacobian f x))) ]

let private badInput =
    let x () = draw 1 [ 3 ]

    testList
        "bad input"
        [ case "shapes" (fun () ->
              throwsWith
                  [ "grad"; "scalar-valued"; "[3]" ]
                  (fun () -> dsharp.grad dsharp.exp (x ()))
                  "grad of a vector"

              throwsWith [ "diff"; "[3]" ] (fun () -> dsharp.diff dsharp.sum (x ())) "diff by a vector"
              throwsWith [ "hessian"; "[2; 2]" ] (fun () -> dsharp.hessian dsharp.sum (draw 1 [ 2; 2 ])) "hessian"
              throwsWith [ "jacobian"; "[]" ] (fun () -> dsharp.jacobian dsharp.sum (x ())) "jacobian of a scalar"

              throwsWith
                  [ "v"; "[3]"; "[2]" ]
                  (fun () -> dsharp.jacobianv dsharp.exp (x ()) (draw 2 [ 2 ]))
                  "jacobianv"

              throwsWith
                  [ "v"; "[3]"; "[2]" ]
                  (fun () -> dsharp.jacobianTv dsharp.exp (x ()) (draw 2 [ 2 ]))
                  "jacobianTv"

              throwsWith [ "v"; "[3]"; "[2]" ] (fun () -> dsharp.hessianv wavy (x ()) (draw 2 [ 2 ])) "hessianv"
              throwsWith [ "three" ] (fun () -> dsharp.curl dsharp.exp (draw 1 [ 2 ])) "curl in two dimensions"
              throwsWith [ "at least 0" ] (fun () -> dsharp.diffn -1 dsharp.exp (scalar 0.0)) "negative order"

              throwsWith
                  [ "floating-point" ]
                  (fun () -> dsharp.grad dsharp.sum (dsharp.tensor [ 1; 2 ]))
                  "whole numbers")
          case "a result that does not depend on the argument" (fun () ->
              throwsWith [ "does not depend" ] (fun () -> dsharp.grad (fun _ -> scalar 1.0) (x ())) "constant"
              throwsWith [ "does not depend" ] (fun () -> dsharp.grad (fun x -> x.detach().sum()) (x ())) "detached"
              throwsWith [ "does not depend" ] (fun () -> dsharp.jacobian (fun _ -> x ()) (x ())) "jacobian")
          case "an exception inside f passes through and leaves nothing" (fun () ->
              let x = x ()
              let before = Reft.Core.Tests.Golden.liveTensors ()

              Expect.throwsT<System.InvalidOperationException>
                  (fun () ->
                      dsharp.grad
                          (fun x ->
                              dsharp.exp x |> ignore
                              invalidOp "stop")
                          x
                      |> ignore)
                  "the exception"

              Expect.equal Tensor.TotalCount before "no tensor left"
              Expect.isFalse (dsharp.grad wavy x).requires_grad "the next call is not nested in the failed one") ]

[<Tests>]
let tests =
    testList "Differentiate" [ closedForms; againstNumeric; nested; laws; badInput ]
