namespace Reft.Core

/// <summary>
/// Arithmetic and comparisons of tensors with tensors, numbers and whole numbers, which keep a whole-number dtype.
/// </summary>
/// <remarks>In the twins the piped tensor is the first operand: <c>x |> dsharp.sub b</c> is x − b.</remarks>
[<AutoOpen>]
module DsharpArithmetic =

    type dsharp with

        /// <summary>a + b.</summary>
        static member add(a: Tensor, b: Tensor) : Tensor = a .+ b

        /// <summary>a + b.</summary>
        static member add(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.add (b, held 1))

        /// <summary>a + b.</summary>
        static member add(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.add (b, held 1))

        /// <summary>a + b.</summary>
        static member add(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.add (a, b)

        /// <summary>a + b.</summary>
        static member add(b: float) : Tensor -> Tensor = fun a -> dsharp.add (a, b)

        /// <summary>a + b.</summary>
        static member add(b: int) : Tensor -> Tensor = fun a -> dsharp.add (a, b)

        /// <summary>a − b.</summary>
        static member sub(a: Tensor, b: Tensor) : Tensor = a.sub b

        /// <summary>a − b.</summary>
        static member sub(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.sub b)

        /// <summary>a − b.</summary>
        static member sub(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.sub b)

        /// <summary>a − b.</summary>
        static member sub(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.sub (a, b)

        /// <summary>a − b.</summary>
        static member sub(b: float) : Tensor -> Tensor = fun a -> dsharp.sub (a, b)

        /// <summary>a − b.</summary>
        static member sub(b: int) : Tensor -> Tensor = fun a -> dsharp.sub (a, b)

        /// <summary>a · b, elementwise.</summary>
        static member mul(a: Tensor, b: Tensor) : Tensor = a.mul b

        /// <summary>a · b, elementwise.</summary>
        static member mul(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.mul b)

        /// <summary>a · b, elementwise.</summary>
        static member mul(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.mul b)

        /// <summary>a · b, elementwise.</summary>
        static member mul(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.mul (a, b)

        /// <summary>a · b, elementwise.</summary>
        static member mul(b: float) : Tensor -> Tensor = fun a -> dsharp.mul (a, b)

        /// <summary>a · b, elementwise.</summary>
        static member mul(b: int) : Tensor -> Tensor = fun a -> dsharp.mul (a, b)

        /// <summary>a / b, elementwise.</summary>
        static member div(a: Tensor, b: Tensor) : Tensor = a.div b

        /// <summary>a / b, elementwise.</summary>
        static member div(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.div b)

        /// <summary>a / b, elementwise.</summary>
        static member div(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.div b)

        /// <summary>a / b, elementwise.</summary>
        static member div(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.div (a, b)

        /// <summary>a / b, elementwise.</summary>
        static member div(b: float) : Tensor -> Tensor = fun a -> dsharp.div (a, b)

        /// <summary>a / b, elementwise.</summary>
        static member div(b: int) : Tensor -> Tensor = fun a -> dsharp.div (a, b)

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(a: Tensor, b: Tensor) : Tensor = a.pow b

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.pow b)

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.pow b)

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.pow (a, b)

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(b: float) : Tensor -> Tensor = fun a -> dsharp.pow (a, b)

        /// <summary>a to the power of b, elementwise.</summary>
        static member pow(b: int) : Tensor -> Tensor = fun a -> dsharp.pow (a, b)

        /// <summary>Where a is greater than b.</summary>
        static member gt(a: Tensor, b: Tensor) : Tensor = a.gt b

        /// <summary>Where a is greater than b.</summary>
        static member gt(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.gt b)

        /// <summary>Where a is greater than b.</summary>
        static member gt(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.gt b)

        /// <summary>Where a is greater than b.</summary>
        static member gt(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.gt (a, b)

        /// <summary>Where a is greater than b.</summary>
        static member gt(b: float) : Tensor -> Tensor = fun a -> dsharp.gt (a, b)

        /// <summary>Where a is greater than b.</summary>
        static member gt(b: int) : Tensor -> Tensor = fun a -> dsharp.gt (a, b)

        /// <summary>Where a is at least b.</summary>
        static member ge(a: Tensor, b: Tensor) : Tensor = a.ge b

        /// <summary>Where a is at least b.</summary>
        static member ge(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.ge b)

        /// <summary>Where a is at least b.</summary>
        static member ge(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.ge b)

        /// <summary>Where a is at least b.</summary>
        static member ge(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.ge (a, b)

        /// <summary>Where a is at least b.</summary>
        static member ge(b: float) : Tensor -> Tensor = fun a -> dsharp.ge (a, b)

        /// <summary>Where a is at least b.</summary>
        static member ge(b: int) : Tensor -> Tensor = fun a -> dsharp.ge (a, b)

        /// <summary>Where a is less than b.</summary>
        static member lt(a: Tensor, b: Tensor) : Tensor = a.lt b

        /// <summary>Where a is less than b.</summary>
        static member lt(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.lt b)

        /// <summary>Where a is less than b.</summary>
        static member lt(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.lt b)

        /// <summary>Where a is less than b.</summary>
        static member lt(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.lt (a, b)

        /// <summary>Where a is less than b.</summary>
        static member lt(b: float) : Tensor -> Tensor = fun a -> dsharp.lt (a, b)

        /// <summary>Where a is less than b.</summary>
        static member lt(b: int) : Tensor -> Tensor = fun a -> dsharp.lt (a, b)

        /// <summary>Where a is at most b.</summary>
        static member le(a: Tensor, b: Tensor) : Tensor = a.le b

        /// <summary>Where a is at most b.</summary>
        static member le(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.le b)

        /// <summary>Where a is at most b.</summary>
        static member le(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.le b)

        /// <summary>Where a is at most b.</summary>
        static member le(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.le (a, b)

        /// <summary>Where a is at most b.</summary>
        static member le(b: float) : Tensor -> Tensor = fun a -> dsharp.le (a, b)

        /// <summary>Where a is at most b.</summary>
        static member le(b: int) : Tensor -> Tensor = fun a -> dsharp.le (a, b)

        /// <summary>Where a = b.</summary>
        static member eq(a: Tensor, b: Tensor) : Tensor = a.eq b

        /// <summary>Where a = b.</summary>
        static member eq(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.eq b)

        /// <summary>Where a = b.</summary>
        static member eq(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.eq b)

        /// <summary>Where a = b.</summary>
        static member eq(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.eq (a, b)

        /// <summary>Where a = b.</summary>
        static member eq(b: float) : Tensor -> Tensor = fun a -> dsharp.eq (a, b)

        /// <summary>Where a = b.</summary>
        static member eq(b: int) : Tensor -> Tensor = fun a -> dsharp.eq (a, b)

        /// <summary>Where a ≠ b.</summary>
        static member ne(a: Tensor, b: Tensor) : Tensor = a.ne b

        /// <summary>Where a ≠ b.</summary>
        static member ne(a: Tensor, b: float) : Tensor =
            b |> Argument.withNumber (fun b -> a.ne b)

        /// <summary>Where a ≠ b.</summary>
        static member ne(a: Tensor, b: int) : Tensor =
            b |> Argument.withWhole (fun b -> a.ne b)

        /// <summary>Where a ≠ b.</summary>
        static member ne(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.ne (a, b)

        /// <summary>Where a ≠ b.</summary>
        static member ne(b: float) : Tensor -> Tensor = fun a -> dsharp.ne (a, b)

        /// <summary>Where a ≠ b.</summary>
        static member ne(b: int) : Tensor -> Tensor = fun a -> dsharp.ne (a, b)
