namespace Reft.Core

open TorchSharp

/// <summary>Functions of each element.</summary>
[<AutoOpen>]
module DsharpPointwise =

    type dsharp with

        /// <summary>e to the power of each element.</summary>
        static member exp(x: Tensor) : Tensor = x.exp ()

        /// <summary>The natural logarithm.</summary>
        static member log(x: Tensor) : Tensor = x.log ()

        /// <summary>log(1 + x), exact near 0.</summary>
        static member log1p(x: Tensor) : Tensor = x.log1p ()

        /// <summary>The square root.</summary>
        static member sqrt(x: Tensor) : Tensor = x.sqrt ()

        /// <summary>1 / √x.</summary>
        static member rsqrt(x: Tensor) : Tensor = x.rsqrt ()

        /// <summary>x².</summary>
        static member square(x: Tensor) : Tensor = squared x

        /// <summary>The absolute value.</summary>
        static member abs(x: Tensor) : Tensor = x.abs ()

        /// <summary>−1, 0 or 1.</summary>
        static member sign(x: Tensor) : Tensor = x.sign ()

        /// <summary>−x.</summary>
        static member neg(x: Tensor) : Tensor = x.neg ()

        /// <summary>1 / x.</summary>
        static member reciprocal(x: Tensor) : Tensor = x.reciprocal ()

        /// <summary>The sine.</summary>
        static member sin(x: Tensor) : Tensor = x.sin ()

        /// <summary>The cosine.</summary>
        static member cos(x: Tensor) : Tensor = x.cos ()

        /// <summary>The tangent.</summary>
        static member tan(x: Tensor) : Tensor = x.tan ()

        /// <summary>The hyperbolic tangent.</summary>
        static member tanh(x: Tensor) : Tensor = x.tanh ()

        /// <summary>1 / (1 + e⁻ˣ).</summary>
        static member sigmoid(x: Tensor) : Tensor = x.sigmoid ()

        /// <summary>The largest whole number not above.</summary>
        static member floor(x: Tensor) : Tensor = x.floor ()

        /// <summary>The smallest whole number not below.</summary>
        static member ceil(x: Tensor) : Tensor = x.ceil ()

        /// <summary>The nearest whole number, halves to even.</summary>
        static member round(x: Tensor) : Tensor = x.round ()

        /// <summary>Where the element is not a number.</summary>
        static member isnan(x: Tensor) : Tensor = x.isnan ()

        /// <summary>max(x, 0).</summary>
        static member relu(x: Tensor) : Tensor = torch.nn.functional.relu x

        /// <summary>x Φ(x), Φ the normal distribution function.</summary>
        static member gelu(x: Tensor) : Tensor = torch.nn.functional.gelu x

        /// <summary>x · sigmoid(x).</summary>
        static member silu(x: Tensor) : Tensor = torch.nn.functional.silu x

        /// <summary>log(1 + eˣ).</summary>
        static member softplus(x: Tensor) : Tensor = -(torch.nn.functional.logsigmoid (-x))

        /// <summary>x where positive, else x times a slope, 0.01 by default.</summary>
        static member leakyRelu(x: Tensor, ?negativeSlope: float) : Tensor =
            defaultArg negativeSlope 0.01
            |> Argument.withNumber (fun slope -> x.leaky_relu slope)

        /// <summary>x where positive, else x times a slope.</summary>
        static member leakyRelu(negativeSlope: float) : Tensor -> Tensor =
            fun x -> dsharp.leakyRelu (x, negativeSlope)

        /// <summary>Each element moved into the interval from low to high; either bound may be left out.</summary>
        static member clamp(x: Tensor, ?low: float, ?high: float) : Tensor =
            let low = defaultArg low -infinity
            let high = defaultArg high infinity

            low
            |> Argument.withNumber (fun low -> high |> Argument.withNumber (fun high -> x.clamp (low, high)))

        /// <summary>Each element moved into the interval from low to high; either bound may be left out.</summary>
        static member clamp(?low: float, ?high: float) : Tensor -> Tensor =
            fun x -> dsharp.clamp (x, ?low = low, ?high = high)

        /// <summary>a where the condition holds, b elsewhere.</summary>
        static member where(condition: Tensor, a: Tensor, b: Tensor) : Tensor = torch.where (condition, a, b)

        /// <summary>The larger of a and b, element by element.</summary>
        static member maximum(a: Tensor, b: Tensor) : Tensor = torch.maximum (a, b)

        /// <summary>The smaller of a and b, element by element.</summary>
        static member minimum(a: Tensor, b: Tensor) : Tensor = torch.minimum (a, b)

        /// <summary>Converted to a dtype; the same tensor where it already has it.</summary>
        static member cast(x: Tensor, dtype: torch.ScalarType) : Tensor = x.``to`` dtype

        /// <summary>Converted to a dtype; the same tensor where it already has it.</summary>
        static member cast(dtype: torch.ScalarType) : Tensor -> Tensor = fun x -> dsharp.cast (x, dtype)
