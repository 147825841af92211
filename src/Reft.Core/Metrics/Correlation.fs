namespace Reft.Core

open System

/// <summary>How two sequences of numbers go together.</summary>
[<RequireQualifiedAccess>]
module Correlation =

    let private sameLength (x: 'a[]) (y: 'b[]) =
        if x.Length <> y.Length then
            invalidArg (nameof y) $"expected as many numbers on both sides, found {x.Length} and {y.Length}"

    /// <summary>Pearson's correlation Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²).</summary>
    /// <returns>Nothing where either side has no variance.</returns>
    /// <exception cref="T:System.ArgumentException">The lengths differ.</exception>
    let pearson (x: float[]) (y: float[]) : float option =
        sameLength x y

        // Compared, as equal numbers need not have a mean that is equal to them.
        let constant (side: float[]) =
            side |> Array.forall (fun value -> value = side[0])

        let varies = not (constant x || constant y)

        let centred (side: float[]) =
            let mean = if side.Length = 0 then 0.0 else Array.average side
            side |> Array.map (fun value -> value - mean)

        let x, y = centred x, centred y
        let dot = Array.fold2 (fun sum a b -> sum + a * b) 0.0
        let scale = sqrt (dot x x) * sqrt (dot y y)

        if varies && scale > 0.0 then
            Some(Math.Clamp(dot x y / scale, -1.0, 1.0))
        else
            None

    /// <summary>The rank of each number, from 1; equal numbers have the mean of the ranks that they share.</summary>
    let ranks (values: float[]) : float[] =
        let order = Array.init values.Length id
        Array.sortInPlaceBy (fun i -> values[i]) order
        let ranks = Array.zeroCreate<float> values.Length

        let rec assign start =
            if start < order.Length then
                let mutable stop = start + 1

                while stop < order.Length && values[order[stop]] = values[order[start]] do
                    stop <- stop + 1

                for i in start .. stop - 1 do
                    ranks[order[i]] <- float (start + 1 + stop) / 2.0

                assign stop

        assign 0
        ranks

    /// <summary>Spearman's correlation: Pearson's of the ranks.</summary>
    /// <returns>Nothing where either side has no variance.</returns>
    /// <exception cref="T:System.ArgumentException">The lengths differ.</exception>
    let spearman (x: float[]) (y: float[]) : float option =
        sameLength x y
        pearson (ranks x) (ranks y)
