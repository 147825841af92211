namespace Reft.Core

open System

/// <summary>A factor of the learning rate as a function of the optimizer step, counted from 0.</summary>
type Schedule = int -> float

/// <summary>How the learning rate goes after its warmup.</summary>
[<RequireQualifiedAccess>]
type ScheduleShape =
    /// It stays.
    | Constant
    /// It falls to 0 on a line.
    | Linear
    /// It falls to 0 on half a cosine.
    | Cosine
    /// It falls to 0 as (1 − progress) to a power.
    | Polynomial of power: float

/// <summary>How long the learning rate rises from 0.</summary>
[<RequireQualifiedAccess>]
type Warmup =
    /// A part of all steps, 0 … 1.
    | Ratio of float
    /// A number of steps.
    | Steps of int

/// <summary>Learning-rate schedules, as transformers has them.</summary>
[<RequireQualifiedAccess>]
module Schedule =

    /// <summary>Always 1.</summary>
    let constant: Schedule = fun _ -> 1.0

    /// From 0 to 1 over the warmup, then a function of the progress 0 … 1 through the other steps.
    let private after (warmup: int) (total: int) (fall: float -> float) : Schedule =
        fun step ->
            if step < warmup then
                float step / float (max 1 warmup)
            else
                float (step - warmup) / float (max 1 (total - warmup)) |> min 1.0 |> fall

    /// <summary>From 0 to 1 over <paramref name="warmup"/> steps, then to 0 at step <paramref name="total"/>.</summary>
    let linear (warmup: int) (total: int) : Schedule =
        fun step ->
            if step < warmup then
                float step / float (max 1 warmup)
            else
                max 0.0 (float (total - step) / float (max 1 (total - warmup)))

    /// <summary>A shape after a warmup of <paramref name="warmup"/> steps, over <paramref name="total"/> steps in all.</summary>
    let ofShape (shape: ScheduleShape) (warmup: int) (total: int) : Schedule =
        match shape with
        | ScheduleShape.Constant -> after warmup total (fun _ -> 1.0)
        | ScheduleShape.Linear -> linear warmup total
        | ScheduleShape.Cosine -> after warmup total (fun progress -> 0.5 * (1.0 + cos (Math.PI * progress)))
        | ScheduleShape.Polynomial power -> after warmup total (fun progress -> (1.0 - progress) ** power)

    /// <summary>The number of warmup steps of a ratio: rounded up, as transformers does.</summary>
    let warmupSteps (ratio: float) (total: int) : int =
        if not (ratio >= 0.0 && ratio <= 1.0) then
            invalidArg (nameof ratio) $"expected a warmup ratio of 0 … 1, found {ratio}"

        int (ceil (ratio * float total))

    /// <summary>The steps of a warmup.</summary>
    let warmup (warmup: Warmup) (total: int) : int =
        match warmup with
        | Warmup.Ratio ratio -> warmupSteps ratio total
        | Warmup.Steps steps when steps < 0 ->
            invalidArg (nameof warmup) $"expected a warmup of 0 steps or more, found {steps}"
        | Warmup.Steps steps -> steps
