namespace Reft.Core

open System

/// <summary>The distribution functions that intervals and tests need.</summary>
[<RequireQualifiedAccess>]
module Distribution =

    // Lanczos' approximation with g = 7 and nine terms: about 15 digits for x > 0.
    let private lanczos =
        [| 0.99999999999980993
           676.5203681218851
           -1259.1392167224028
           771.32342877765313
           -176.61502916214059
           12.507343278686905
           -0.13857109526572012
           9.9843695780195716e-6
           1.5056327351493116e-7 |]

    let rec private logGamma (x: float) : float =
        if x < 0.5 then
            log (Math.PI / sin (Math.PI * x)) - logGamma (1.0 - x)
        else
            let x = x - 1.0
            let t = x + 7.5

            let series =
                Seq.fold (fun sum i -> sum + lanczos[i] / (x + float i)) lanczos[0] (seq { 1..8 })

            0.5 * log (2.0 * Math.PI) + (x + 0.5) * log t - t + log series

    // Lentz's way with the continued fraction of I_x(a, b); it converges where x < (a + 1) / (a + b + 2).
    let private betaFraction (a: float) (b: float) (x: float) : float =
        let tiny = 1e-300

        let away (value: float) =
            if abs value < tiny then tiny else value

        let rec go m c d h =
            let m' = float m

            let step numerator c d h =
                let d = 1.0 / away (1.0 + numerator * d)
                let c = away (1.0 + numerator / c)
                struct (c, d, h * d * c, d * c)

            let even = m' * (b - m') * x / ((a + 2.0 * m' - 1.0) * (a + 2.0 * m'))

            let struct (c, d, h, _) = step even c d h

            let odd = -(a + m') * (a + b + m') * x / ((a + 2.0 * m') * (a + 2.0 * m' + 1.0))

            let struct (c, d, h, change) = step odd c d h

            // The number of terms grows with the square root of the larger parameter.
            if abs (change - 1.0) < 1e-15 || m > 100000 then
                h
            else
                go (m + 1) c d h

        let d = 1.0 / away (1.0 - (a + b) * x / (a + 1.0))
        go 1 1.0 d d

    /// <summary>The regularised incomplete beta function I_x(a, b).</summary>
    /// <param name="a">Positive.</param>
    /// <param name="b">Positive.</param>
    /// <param name="x">In [0, 1].</param>
    /// <exception cref="T:System.ArgumentException">An argument is out of range.</exception>
    let incompleteBeta (a: float) (b: float) (x: float) : float =
        if not (a > 0.0 && b > 0.0) then
            invalidArg (nameof a) $"expected positive parameters, found {a} and {b}"

        if not (x >= 0.0 && x <= 1.0) then
            invalidArg (nameof x) $"expected a number of 0 … 1, found {x}"

        if x = 0.0 || x = 1.0 then
            x
        else
            let front =
                exp (logGamma (a + b) - logGamma a - logGamma b + a * log x + b * log (1.0 - x))

            if x < (a + 1.0) / (a + b + 2.0) then
                front * betaFraction a b x / a
            else
                1.0 - front * betaFraction b a (1.0 - x) / b

    /// <summary>P(X ≤ <paramref name="successes"/>) of a binomial X of fair coins.</summary>
    /// <param name="trials">How many.</param>
    /// <param name="successes">Up to how many heads.</param>
    let fairCoins (trials: int) (successes: int) : float =
        if successes < 0 then
            0.0
        elif successes >= trials then
            1.0
        else
            incompleteBeta (float (trials - successes)) (float (successes + 1)) 0.5

    /// The quantile of a distribution that is symmetric about 0, by bisection on its distribution function.
    let private symmetricQuantile (cdf: float -> float) (p: float) : float =
        if not (p > 0.0 && p < 1.0) then
            invalidArg (nameof p) $"expected a probability between 0 and 1, found {p}"

        // The upper half is as exact as the lower one only when it is computed as such.
        let lower = min p (1.0 - p)

        let rec bracket low =
            if cdf low > lower then bracket (2.0 * low) else low

        let rec bisect low high =
            let middle = 0.5 * (low + high)

            if middle = low || middle = high then middle
            elif cdf middle > lower then bisect low middle
            else bisect middle high

        if p = 0.5 then
            0.0
        else
            bisect (bracket -1.0) 0.0 |> if p < 0.5 then id else (~-)

    /// <summary>P(T ≤ t) of Student's t.</summary>
    /// <param name="freedom">Its degrees of freedom; positive, perhaps not whole.</param>
    /// <param name="t">Where.</param>
    let student (freedom: float) (t: float) : float =
        let tail = 0.5 * incompleteBeta (0.5 * freedom) 0.5 (freedom / (freedom + t * t))
        if t < 0.0 then tail else 1.0 - tail

    /// <summary>The t below which Student's t is with a probability.</summary>
    /// <param name="freedom">Its degrees of freedom.</param>
    /// <param name="p">Between 0 and 1.</param>
    /// <exception cref="T:System.ArgumentException">An argument is out of range.</exception>
    let studentQuantile (freedom: float) (p: float) : float = symmetricQuantile (student freedom) p

    // erfc for x ≥ 0: Taylor's series where it converges fast, else the continued fraction (Abramowitz and Stegun 7.1.5, 7.1.14).
    let private erfc (x: float) : float =
        if x < 2.5 then
            let rec series n power sum =
                let term = power / (2.0 * float n + 1.0)

                if abs term < 1e-18 then
                    sum + term
                else
                    series (n + 1) (-power * x * x / float (n + 1)) (sum + term)

            1.0 - 2.0 / sqrt Math.PI * series 0 x 0.0
        else
            let fraction =
                Seq.fold (fun rest n -> float n / 2.0 / (x + rest)) 0.0 (seq { 120..-1..1 })

            exp (-x * x) / sqrt Math.PI / (x + fraction)

    /// <summary>P(Z ≤ z) of a standard normal Z.</summary>
    let normal (z: float) : float =
        let tail = 0.5 * erfc (abs z / sqrt 2.0)
        if z < 0.0 then tail else 1.0 - tail

    /// <summary>The z below which a standard normal is with a probability.</summary>
    /// <exception cref="T:System.ArgumentException">The probability is not between 0 and 1.</exception>
    let normalQuantile (p: float) : float = symmetricQuantile normal p
