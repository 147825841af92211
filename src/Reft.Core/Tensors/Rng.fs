namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// The state of a random stream, as a value: the same <c>Rng</c> always gives the same numbers, and drawing from it
/// changes nothing. Take independent streams with <see cref="M:Reft.Core.RngModule.split"/> or
/// <see cref="M:Reft.Core.RngModule.fork"/>.
/// </summary>
[<Struct>]
type Rng = { State: uint64 }

/// <summary>Splittable random numbers (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).</summary>
[<RequireQualifiedAccess>]
module Rng =

    [<Literal>]
    let private GoldenGamma = 0x9e3779b97f4a7c15UL

    let private mix (z: uint64) =
        let z = (z ^^^ (z >>> 30)) * 0xbf58476d1ce4e5b9UL
        let z = (z ^^^ (z >>> 27)) * 0x94d049bb133111ebUL
        z ^^^ (z >>> 31)

    /// <summary>The stream of a seed.</summary>
    let ofSeed (seed: int64) : Rng =
        { State = mix (uint64 seed + GoldenGamma) }

    /// <summary>The next 64 random bits, and the stream after them.</summary>
    let next (rng: Rng) : struct (uint64 * Rng) =
        let state = rng.State + GoldenGamma
        struct (mix state, { State = state })

    /// <summary>The independent stream number <paramref name="index"/> of this one.</summary>
    let fork (index: int) (rng: Rng) : Rng =
        { State = mix (rng.State ^^^ mix (uint64 index + GoldenGamma)) }

    /// <summary>Two independent streams; use neither the argument nor one of them twice.</summary>
    let split (rng: Rng) : struct (Rng * Rng) = struct (fork 0 rng, fork 1 rng)

    /// <summary>A whole number in [0, <paramref name="bound"/>), without modulo bias, and the stream after it.</summary>
    /// <exception cref="T:System.ArgumentException"><paramref name="bound"/> is not positive.</exception>
    let below (bound: int) (rng: Rng) : struct (int * Rng) =
        if bound <= 0 then
            invalidArg (nameof bound) $"expected a positive bound, found {bound}"

        let limit = UInt64.MaxValue - UInt64.MaxValue % uint64 bound

        let rec draw rng =
            let struct (bits, rng) = next rng

            if bits < limit then
                struct (int (bits % uint64 bound), rng)
            else
                draw rng

        draw rng

    /// <summary>A uniformly random order of 0 … <paramref name="count"/> − 1 (Fisher–Yates).</summary>
    let permutation (count: int) (rng: Rng) : int[] =
        let order = Array.init count id
        let mutable rng = rng

        for i = count - 1 downto 1 do
            let struct (j, following) = below (i + 1) rng
            rng <- following
            let swapped = order[i]
            order[i] <- order[j]
            order[j] <- swapped

        order

    let private withGenerator (draw: torch.Generator -> Tensor) (rng: Rng) =
        Native.load ()
        let struct (bits, _) = next rng
        use generator = new torch.Generator(bits, torch.CPU)
        draw generator

    /// <summary>An fp32 CPU tensor of independent draws from U[<paramref name="low"/>, <paramref name="high"/>).</summary>
    let uniform (low: float) (high: float) (shape: int64 list) (rng: Rng) : Tensor =
        rng
        |> withGenerator (fun generator ->
            let draws = torch.empty (List.toArray shape, dtype = torch.float32)
            draws.uniform_ (low, high, generator))

    /// <summary>An fp32 CPU tensor of independent standard normal draws.</summary>
    let normal (shape: int64 list) (rng: Rng) : Tensor =
        rng
        |> withGenerator (fun generator ->
            torch.randn (List.toArray shape, dtype = torch.float32, generator = generator))
