namespace Reft.Core

/// <summary>A factor of the learning rate as a function of the optimizer step, counted from 0.</summary>
type Schedule = int -> float

/// <summary>Learning-rate schedules, as transformers has them.</summary>
[<RequireQualifiedAccess>]
module Schedule =

    /// <summary>Always 1.</summary>
    let constant: Schedule = fun _ -> 1.0

    /// <summary>From 0 to 1 over <paramref name="warmup"/> steps, then to 0 at step <paramref name="total"/>.</summary>
    let linear (warmup: int) (total: int) : Schedule =
        fun step ->
            if step < warmup then
                float step / float (max 1 warmup)
            else
                max 0.0 (float (total - step) / float (max 1 (total - warmup)))

    /// <summary>The number of warmup steps of a ratio: rounded up, as transformers does.</summary>
    let warmupSteps (ratio: float) (total: int) : int =
        if ratio < 0.0 || ratio > 1.0 then
            invalidArg (nameof ratio) $"expected a warmup ratio of 0 … 1, found {ratio}"

        int (ceil (ratio * float total))
