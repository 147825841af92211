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

/// <summary>Rotary position embedding (Su et al., arXiv 2104.09864), in the half-split layout of Hugging Face.</summary>
[<RequireQualifiedAccess>]
module Rotary =

    /// <summary>The angle per position of each pair of dimensions. [head_dim / 2]</summary>
    let inverseFrequencies (headDim: int) (theta: float) (scaling: RopeScaling) : float32[] =
        let plain =
            Array.init (headDim / 2) (fun i -> 1.0f / MathF.Pow(float32 theta, float32 (2 * i) / float32 headDim))

        match scaling with
        | RopeScaling.Default -> plain
        | RopeScaling.Linear factor -> plain |> Array.map (fun f -> f / float32 factor)
        | RopeScaling.Llama3(factor, low, high, original) ->
            let factor, low, high, original =
                float32 factor, float32 low, float32 high, float32 original

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

    /// <summary>
    /// The tables (cos, sin) of the positions in a context. [batch or 1, 1, seq, head_dim / 2], in
    /// <paramref name="dtype"/>: one row of the batch stands for all when their positions are the same.
    /// </summary>
    let tables
        (dtype: torch.ScalarType)
        (device: torch.Device)
        (frequencies: float32[])
        (context: Context)
        : struct (Tensor * Tensor) =
        let positions =
            if context.PlainPositions then
                context.PositionIds.narrow (0L, 0L, 1L)
            else
                context.PositionIds

        let angles =
            positions.``to``(torch.float32).unsqueeze(-1L)
            * torch.tensor(frequencies).``to``(device) // [batch, seq, head_dim / 2]

        let angles = angles.unsqueeze 1L
        struct (angles.cos().``to``(dtype), angles.sin().``to``(dtype))

    /// <summary>Rotates each pair (x[i], x[i + head_dim / 2]) by its angle. [batch, heads, seq, head_dim]</summary>
    let apply (struct (cos: Tensor, sin: Tensor)) (x: Tensor) : Tensor =
        Scope.run (fun () ->
            let half = x.shape[3] / 2L
            let first = x.narrow (3L, 0L, half)
            let second = x.narrow (3L, half, half)
            let turned = (first * cos).addcmul(second, sin, (-1.0f).ToScalar())
            let turned' = (second * cos).addcmul(first, sin, 1.0f.ToScalar())
            torch.cat (ResizeArray [ turned; turned' ], 3L))
