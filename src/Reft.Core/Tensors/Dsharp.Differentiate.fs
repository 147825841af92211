namespace Reft.Core

open TorchSharp

/// <summary>
/// Derivatives, with DiffSharp's names and argument order; an <c>f</c> in front returns the function's value too, first.
/// </summary>
/// <remarks>
/// <para>
/// Results live in the caller's dispose scope, and everything in between is freed. They are plain numbers, except inside
/// another derivative, which sees through them: <c>dsharp.grad (fun x -> dsharp.grad f x |> dsharp.sum)</c> is right, and
/// so on to any depth. An argument that requires a gradient itself counts as inside one.
/// </para>
/// <para>
/// Everything runs on libtorch's reverse mode: a product with a vector on the right is two reverse passes, and a second
/// derivative needs operations whose backward is differentiable (the fused attention kernels' is not).
/// </para>
/// <para>
/// All throw <see cref="T:System.ArgumentException"/> when shapes do not fit, or f's result does not depend on its
/// argument. A derivative that is zero, as a linear function's second, is zero and no error.
/// </para>
/// </remarks>
[<AutoOpen>]
module DsharpDifferentiate =

    open Derivative

    type dsharp with

        /// <summary>The value, and the derivative by a scalar, of the value's shape.</summary>
        static member fdiff (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            checkScalarInput "diff" x
            evaluate "diff" f x (fun input y -> [ byScalar input y ]) |> pair

        /// <summary>The derivative by a scalar, of the value's shape.</summary>
        static member diff (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fdiff f x)

        /// <summary>The value and the derivatives of order 1 … n by a scalar.</summary>
        static member ffdiffn (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor list =
            checkScalarInput "diffn" x

            if n < 0 then
                invalidArg (nameof n) $"expected an order of at least 0, found {n}"

            evaluate "diffn" f x (fun input y -> List.scan (fun y _ -> byScalar input y) y [ 1..n ] |> List.tail)

        /// <summary>The value and the n-th derivative by a scalar.</summary>
        static member fdiffn (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () ->
                let derivatives = dsharp.ffdiffn n f x
                List.head derivatives, List.last derivatives)

        /// <summary>The n-th derivative by a scalar.</summary>
        static member diffn (n: int) (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fdiffn n f x)

        /// <summary>The value and the second derivative by a scalar.</summary>
        static member fdiff2 (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor = dsharp.fdiffn 2 f x

        /// <summary>The second derivative by a scalar.</summary>
        static member diff2 (f: Tensor -> Tensor) (x: Tensor) : Tensor = dsharp.diffn 2 f x

        /// <summary>The value of a scalar-valued function and its gradient, of x's shape.</summary>
        static member fgrad (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            evaluate "grad" f x (fun input y ->
                checkScalarOutput "grad" y
                [ gradient (last input) input y ])
            |> pair

        /// <summary>The gradient of a scalar-valued function, of x's shape.</summary>
        static member grad (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fgrad f x)

        /// <summary>The value and the directional derivative ∇f · v, a scalar.</summary>
        static member fgradv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            checkLike "gradv" "x" x v

            evaluate "gradv" f x (fun input y ->
                checkScalarOutput "gradv" y
                [ (gradient (last input) input y * v).sum() ])
            |> pair

        /// <summary>The directional derivative ∇f · v, a scalar.</summary>
        static member gradv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            second (fun () -> dsharp.fgradv f x v)

        /// <summary>The value and J v, of the value's shape: how f changes along v.</summary>
        static member fjacobianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            checkLike "jacobianv" "x" x v

            evaluate "jacobianv" f x (fun input y -> [ pushforward (last input) input y v ])
            |> pair

        /// <summary>J v, of the value's shape: how f changes along v.</summary>
        static member jacobianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            second (fun () -> dsharp.fjacobianv f x v)

        /// <summary>The value and Jᵀ v, of x's shape, for a v of the value's shape.</summary>
        static member fjacobianTv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            evaluate "jacobianTv" f x (fun input y ->
                checkLike "jacobianTv" "f x" y v
                [ pullback (last input) input y v ])
            |> pair

        /// <summary>Jᵀ v, of x's shape, for a v of the value's shape.</summary>
        static member jacobianTv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            second (fun () -> dsharp.fjacobianTv f x v)

        /// <summary>The value of a vector function of a vector and its Jacobian ∂f_i/∂x_j. [outputs, inputs]</summary>
        static member fjacobian (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            evaluate "jacobian" f x (fun input y ->
                checkVectors "jacobian" x y

                // Row by row or column by column, whichever are fewer.
                if y.shape[0] <= x.shape[0] then
                    [ unitVectors y |> Array.map (pullback (repeated input) input y) |> torch.stack ]
                else
                    [ torch.stack (unitVectors x |> Array.map (pushforward (repeated input) input y), 1L) ])
            |> pair

        /// <summary>The Jacobian ∂f_i/∂x_j of a vector function of a vector. [outputs, inputs]</summary>
        static member jacobian (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fjacobian f x)

        /// <summary>The value, ∇f · v (a scalar), and the product H v of the Hessian, of x's shape.</summary>
        static member fgradhessianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor * Tensor =
            checkLike "gradhessianv" "x" x v

            evaluate "gradhessianv" f x (fun input y ->
                checkScalarOutput "gradhessianv" y
                let along = (gradient GraphUse.Record input y * v).sum()
                [ along; gradient (last input) input along ])
            |> triple

        /// <summary>∇f · v (a scalar), and the product H v of the Hessian, of x's shape.</summary>
        static member gradhessianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            lastTwo (fun () -> dsharp.fgradhessianv f x v)

        /// <summary>The value and the product H v of the Hessian, of x's shape, without making H.</summary>
        static member fhessianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
            firstAndLast (fun () -> dsharp.fgradhessianv f x v)

        /// <summary>The product H v of the Hessian, of x's shape, without making H.</summary>
        static member hessianv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor =
            second (fun () -> dsharp.fhessianv f x v)

        /// <summary>The value of a scalar function of a vector, its gradient and its Hessian. [n], [n, n]</summary>
        static member fgradhessian (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor * Tensor =
            checkVector "gradhessian" x

            evaluate "gradhessian" f x (fun input y ->
                checkScalarOutput "gradhessian" y
                let g = gradient GraphUse.Record input y
                [ g; g.unbind 0L |> Array.map (gradient (repeated input) input) |> torch.stack ])
            |> triple

        /// <summary>The gradient and the Hessian of a scalar function of a vector. [n], [n, n]</summary>
        static member gradhessian (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            lastTwo (fun () -> dsharp.fgradhessian f x)

        /// <summary>The value and the Hessian of a scalar function of a vector. [n, n]</summary>
        static member fhessian (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            firstAndLast (fun () -> dsharp.fgradhessian f x)

        /// <summary>The Hessian of a scalar function of a vector. [n, n]</summary>
        static member hessian (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fhessian f x)

        /// <summary>The value and the Laplacian, the trace of the Hessian, of a scalar function of a vector.</summary>
        static member flaplacian (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () -> let fx, h = dsharp.fhessian f x in fx, h.trace ())

        /// <summary>The Laplacian, the trace of the Hessian, of a scalar function of a vector.</summary>
        static member laplacian (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            second (fun () -> dsharp.flaplacian f x)

        /// <summary>The value, curl and divergence of a vector field in three dimensions.</summary>
        static member fcurldivergence (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor * Tensor =
            Scope.run3 (fun () ->
                let fx, j = dsharp.fjacobian f x
                checkJacobian "curldivergence" j
                fx, curl j, j.trace ())

        /// <summary>The curl and divergence of a vector field in three dimensions.</summary>
        static member curldivergence (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            lastTwo (fun () -> dsharp.fcurldivergence f x)

        /// <summary>The value and the curl of a vector field in three dimensions.</summary>
        static member fcurl (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () ->
                let fx, j = dsharp.fjacobian f x
                checkJacobian "curl" j
                fx, curl j)

        /// <summary>The curl of a vector field in three dimensions.</summary>
        static member curl (f: Tensor -> Tensor) (x: Tensor) : Tensor = second (fun () -> dsharp.fcurl f x)

        /// <summary>The value and the divergence, the trace of the Jacobian, of a vector field.</summary>
        static member fdivergence (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
            Scope.run2 (fun () ->
                let fx, j = dsharp.fjacobian f x
                checkSquare "divergence" j
                fx, j.trace ())

        /// <summary>The divergence, the trace of the Jacobian, of a vector field.</summary>
        static member divergence (f: Tensor -> Tensor) (x: Tensor) : Tensor =
            second (fun () -> dsharp.fdivergence f x)
