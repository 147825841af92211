namespace Reft.Core

open System
open TorchSharp

/// <summary>How the rotary frequencies are stretched for contexts longer than in pretraining.</summary>
[<RequireQualifiedAccess>]
type RopeScaling =
    /// As in pretraining.
    | Default
    /// Every frequency divided by a factor (position interpolation).
    | Linear of factor: float
    /// Llama 3.1's: low frequencies divided, high ones kept, a ramp between.
    | Llama3 of factor: float * lowFrequency: float * highFrequency: float * originalContext: int
    /// A larger base for sequences longer than the original context (dynamic NTK).
    | Dynamic of factor: float * originalContext: int
    /// YaRN (Peng et al., arXiv 2309.00071): frequencies that turn less than betaSlow times are divided, those that turn
    /// more than betaFast times are kept, and the tables are multiplied by the attention factor.
    | Yarn of factor: float * originalContext: int * attentionFactor: float * betaFast: float * betaSlow: float
    /// LongRoPE (Ding et al., arXiv 2402.13753), as in Phi-3: one divisor per pair of dimensions, other ones for sequences
    /// longer than the original context, and an attention factor.
    | LongRope of short: float list * long: float list * originalContext: int * attentionFactor: float

/// <summary>Rotary position embedding (Su et al., arXiv 2104.09864), in the half-split layout of Hugging Face.</summary>
[<RequireQualifiedAccess>]
module Rotary =

    let private powers (width: int) (theta: float) =
        Array.init (width / 2) (fun i -> MathF.Pow(float32 theta, float32 (2 * i) / float32 width))

    let private llama3 factor low high original (plain: float32[]) =
        plain
        |> Array.map (fun f ->
            let wavelength = 2.0f * MathF.PI / f

            if wavelength < original / high then
                f
            elif wavelength > original / low then
                f / factor
            else
                let smooth = (original / wavelength - low) / (high - low)
                (1.0f - smooth) * f / factor + smooth * f)

    let private yarn (width: int) theta factor (original: int) betaFast betaSlow (plain: float32[]) =
        // The dimension whose frequency turns this many times within the original context.
        let dimension turns =
            float width * log (float original / (turns * 2.0 * Math.PI)) / (2.0 * log theta)

        let low = max 0.0 (floor (dimension betaFast))
        let high = min (float (width - 1)) (ceil (dimension betaSlow))
        let span = if high = low then 0.001 else high - low

        plain
        |> Array.mapi (fun i f ->
            let divided = float32 (Math.Clamp((float i - low) / span, 0.0, 1.0))
            f / float32 factor * divided + f * (1.0f - divided))

    /// <summary>The angle per position of each pair of dimensions. [width / 2]</summary>
    /// <param name="width">How many dimensions of a head turn.</param>
    /// <param name="theta">The base.</param>
    /// <param name="scaling">How they are stretched.</param>
    /// <param name="length">The longest row so far, which some ways of stretching depend on.</param>
    let inverseFrequencies (width: int) (theta: float) (scaling: RopeScaling) (length: int) : float32[] =
        let plain theta =
            powers width theta |> Array.map (fun power -> 1.0f / power)

        match scaling with
        | RopeScaling.Default -> plain theta
        | RopeScaling.Linear factor -> plain theta |> Array.map (fun f -> f / float32 factor)
        | RopeScaling.Llama3(factor, low, high, original) ->
            plain theta
            |> llama3 (float32 factor) (float32 low) (float32 high) (float32 original)
        | RopeScaling.Dynamic(factor, original) when length > original ->
            let stretch = factor * float length / float original - (factor - 1.0)
            plain (theta * Math.Pow(stretch, float width / float (width - 2)))
        | RopeScaling.Dynamic _ -> plain theta
        | RopeScaling.Yarn(factor, original, _, betaFast, betaSlow) ->
            plain theta |> yarn width theta factor original betaFast betaSlow
        | RopeScaling.LongRope(short, long, original, _) ->
            let divisors = Array.ofList (if length > original then long else short)
            Array.map2 (fun (divisor: float) power -> 1.0f / (float32 divisor * power)) divisors (powers width theta)

    /// <summary>What the tables are multiplied by.</summary>
    let attentionFactor (scaling: RopeScaling) : float =
        match scaling with
        | RopeScaling.Yarn(_, _, factor, _, _)
        | RopeScaling.LongRope(_, _, _, factor) -> factor
        | _ -> 1.0

    /// <summary>
    /// The tables (cos, sin) of the positions in a context. [batch or 1, 1, seq, width / 2], in
    /// <paramref name="dtype"/>: one row of the batch stands for all when their positions are the same.
    /// </summary>
    /// <param name="dtype">The model's dtype.</param>
    /// <param name="device">The model's device.</param>
    /// <param name="width">How many dimensions of a head turn.</param>
    /// <param name="theta">The base.</param>
    /// <param name="scaling">How the frequencies are stretched.</param>
    /// <param name="context">Whose positions.</param>
    let tables
        (dtype: torch.ScalarType)
        (device: torch.Device)
        (width: int)
        (theta: float)
        (scaling: RopeScaling)
        (context: Context)
        : struct (Tensor * Tensor) =
        let positions =
            if context.PlainPositions then
                context.PositionIds.narrow (0L, 0L, 1L)
            else
                context.PositionIds

        let longest =
            context.Spans |> Array.fold (fun longest span -> max longest span.Length) 0

        let frequencies = inverseFrequencies width theta scaling longest

        let angles =
            positions.``to``(torch.float32).unsqueeze(-1L)
            * torch.tensor(frequencies).``to``(device) // [batch, seq, width / 2]

        let angles = angles.unsqueeze 1L

        match attentionFactor scaling with
        | 1.0 -> struct (angles.cos().``to``(dtype), angles.sin().``to``(dtype))
        | factor ->
            let factor = float32 factor
            struct ((angles.cos () *. factor).``to``(dtype), (angles.sin () *. factor).``to``(dtype))

    /// <summary>
    /// Rotates each pair (x[i], x[i + width / 2]) by its angle, where width is twice that of the tables; the dimensions of
    /// a head beyond it stay. [batch, heads, seq, head_dim]
    /// </summary>
    let apply (struct (cos: Tensor, sin: Tensor)) (x: Tensor) : Tensor =
        Scope.run (fun () ->
            let half = cos.shape[3]
            let rest = x.shape[3] - 2L * half
            let first = x.narrow (3L, 0L, half)
            let second = x.narrow (3L, half, half)
            let turned = (first * cos).addcmul(second, sin, held (-1.0f))
            let turned' = (second * cos).addcmul(first, sin, held 1.0f)

            let parts =
                if rest = 0L then
                    [ turned; turned' ]
                else
                    [ turned; turned'; x.narrow (3L, 2L * half, rest) ]

            torch.cat (ResizeArray parts, 3L))
