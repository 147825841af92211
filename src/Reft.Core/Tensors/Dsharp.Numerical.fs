namespace Reft.Core

open TorchSharp

/// Central differences: the error is O(ε²), and the same x may be an fp64 tensor to leave room for a small ε.
module private Difference =

    /// f along ±ε in one direction.
    let along (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (direction: Tensor) : Tensor =
        let step = direction *. epsilon
        (f (x .+ step) - f (x - step)) /. (2.0 * epsilon)

    /// The unit tensors of x's shape, one for each element.
    let directions (x: Tensor) : Tensor[] =
        let n = x.numel ()

        torch.eye(n, dtype = x.dtype, device = x.device).unbind 0L
        |> Array.map (fun unit -> unit.view x.shape)

    let checkScalarInput (x: Tensor) =
        if x.dim () <> 0L then
            invalidArg "x" $"expected a function of a scalar: found an argument of shape {Argument.shapeText x.shape}"

    let checkScalarOutput (y: Tensor) =
        if y.dim () <> 0L then
            invalidArg "f" $"expected a scalar-valued function: found a result of shape {Argument.shapeText y.shape}"

    let checkVectors (x: Tensor) (y: Tensor) =
        if x.dim () <> 1L || y.dim () <> 1L then
            invalidArg
                "f"
                $"expected a vector-valued function of a vector: found an argument of shape {Argument.shapeText x.shape} and a result of shape {Argument.shapeText y.shape}"

    let curl (j: Tensor) =
        if j.shape <> [| 3L; 3L |] then
            invalidArg
                "f"
                $"expected a function from three to three dimensions: found a Jacobian of {Argument.shapeText j.shape}"

        let at (row: int) (column: int) = j[row, column]
        torch.stack [ at 2 1 - at 1 2; at 0 2 - at 2 0; at 1 0 - at 0 1 ]

/// <summary>
/// Numeric derivatives by central differences, to check exact ones against: DiffSharp's names, with ε first. Use fp64
/// tensors and ε near 1e-5 (1e-3 for second derivatives).
/// </summary>
[<AutoOpen>]
module DsharpNumerical =

    open Difference

    type dsharp with

        /// <summary>The derivative by a scalar.</summary>
        static member numdiff (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            checkScalarInput x
            Scope.run (fun () -> along epsilon f x (torch.ones_like x))

        /// <summary>The n-th derivative by a scalar, differences of differences.</summary>
        static member numdiffn (epsilon: float) (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            let derivative = [ 1..n ] |> List.fold (fun g _ -> dsharp.numdiff epsilon g) f
            Scope.run (fun () -> derivative x)

        /// <summary>The second derivative by a scalar: (f(x+ε) − 2 f(x) + f(x−ε)) / ε².</summary>
        static member numdiff2 (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            checkScalarInput x
            Scope.run (fun () -> (f (x +. epsilon) - f x *. 2.0 .+ f (x -. epsilon)) /. (epsilon * epsilon))

        /// <summary>The directional derivative ∇f · v, a scalar.</summary>
        static member numgradv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            Scope.run (fun () ->
                let slope = along epsilon f x v
                checkScalarOutput slope
                slope)

        /// <summary>The gradient of a scalar-valued function, of x's shape: two calls of f for each element.</summary>
        static member numgrad (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            Scope.run (fun () -> (directions x |> Array.map (dsharp.numgradv epsilon f x) |> torch.stack).view x.shape)

        /// <summary>J v, of the value's shape.</summary>
        static member numjacobianv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            Scope.run (fun () -> along epsilon f x v)

        /// <summary>The Jacobian of a vector function of a vector. [outputs, inputs]</summary>
        static member numjacobian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            Scope.run (fun () ->
                let columns = directions x |> Array.map (dsharp.numjacobianv epsilon f x)
                checkVectors x columns[0]
                torch.stack (columns, 1L))

        /// <summary>Jᵀ v, of x's shape, for a v of the value's shape.</summary>
        static member numjacobianTv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            dsharp.numgrad epsilon (fun x -> (f x * v).sum()) x

        /// <summary>The product H v of the Hessian, of x's shape.</summary>
        static member numhessianv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            Scope.run (fun () -> along epsilon (dsharp.numgrad epsilon f) x v)

        /// <summary>The Hessian of a scalar function of a vector. [n, n]</summary>
        static member numhessian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            dsharp.numjacobian epsilon (dsharp.numgrad epsilon f) x

        /// <summary>The gradient and the Hessian of a scalar function of a vector. [n], [n, n]</summary>
        static member numgradhessian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            dsharp.numgrad epsilon f x, dsharp.numhessian epsilon f x

        /// <summary>The Laplacian, the trace of the Hessian.</summary>
        static member numlaplacian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            Scope.run (fun () -> (dsharp.numhessian epsilon f x).trace())

        /// <summary>The curl of a vector field in three dimensions.</summary>
        static member numcurl (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            Scope.run (fun () -> dsharp.numjacobian epsilon f x |> curl)

        /// <summary>The divergence, the trace of the Jacobian, of a vector field.</summary>
        static member numdivergence (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            Scope.run (fun () ->
                let j = dsharp.numjacobian epsilon f x

                if j.shape[0] <> j.shape[1] then
                    invalidArg "f" $"expected a square Jacobian: found {Argument.shapeText j.shape}"

                j.trace ())

        /// <summary>The curl and divergence of a vector field in three dimensions.</summary>
        static member numcurldivergence (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            dsharp.numcurl epsilon f x, dsharp.numdivergence epsilon f x

        /// <summary>The value and <c>numdiff</c>.</summary>
        static member numfdiff (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numdiff epsilon f x)

        /// <summary>The value and <c>numdiff2</c>.</summary>
        static member numfdiff2 (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numdiff2 epsilon f x)

        /// <summary>The value and <c>numgradv</c>.</summary>
        static member numfgradv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numgradv epsilon f x v)

        /// <summary>The value and <c>numgrad</c>.</summary>
        static member numfgrad (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numgrad epsilon f x)

        /// <summary>The value and <c>numjacobianv</c>.</summary>
        static member numfjacobianv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numjacobianv epsilon f x v)

        /// <summary>The value and <c>numjacobian</c>.</summary>
        static member numfjacobian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numjacobian epsilon f x)

        /// <summary>The value and <c>numjacobianTv</c>.</summary>
        static member numfjacobianTv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numjacobianTv epsilon f x v)

        /// <summary>The value and <c>numhessianv</c>.</summary>
        static member numfhessianv (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numhessianv epsilon f x v)

        /// <summary>The value and <c>numhessian</c>.</summary>
        static member numfhessian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numhessian epsilon f x)

        /// <summary>The value and <c>numlaplacian</c>.</summary>
        static member numflaplacian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numlaplacian epsilon f x)

        /// <summary>The value and <c>numcurl</c>.</summary>
        static member numfcurl (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numcurl epsilon f x)

        /// <summary>The value and <c>numdivergence</c>.</summary>
        static member numfdivergence (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numdivergence epsilon f x)

        /// <summary>The value and the results of <c>numgradhessian</c>.</summary>
        static member numfgradhessian (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor * Tensor =
            Scope.run3 (fun () ->
                let a, b = dsharp.numgradhessian epsilon f x
                (f x).alias(), a, b)

        /// <summary>The value and the results of <c>numcurldivergence</c>.</summary>
        static member numfcurldivergence (epsilon: float) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor * Tensor =
            Scope.run3 (fun () ->
                let a, b = dsharp.numcurldivergence epsilon f x
                (f x).alias(), a, b)

        /// <summary>The value and <c>numdiffn</c>.</summary>
        static member numfdiffn (epsilon: float) (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> (f x).alias(), dsharp.numdiffn epsilon n f x)
