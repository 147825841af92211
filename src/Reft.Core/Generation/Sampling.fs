namespace Reft.Core

open TorchSharp

/// <summary>Drawing tokens.</summary>
[<RequireQualifiedAccess>]
module Sampling =

    /// <summary>
    /// The random stream of each row: of the seed and the row's number in the whole input, so that what a row draws does
    /// not depend on the batch that it is in.
    /// </summary>
    /// <param name="seed">The seed.</param>
    /// <param name="rows">The rows' numbers in the whole input.</param>
    let streams (seed: int64) (rows: int seq) : Rng[] =
        rows |> Seq.map (fun row -> Rng.ofSeed seed |> Rng.fork row) |> Seq.toArray

    /// <summary>A number in [0, 1), and the stream after it.</summary>
    let uniform (rng: Rng) : struct (float * Rng) =
        let struct (bits, rng) = Rng.next rng
        struct (float (bits >>> 11) * 2.0 ** -53.0, rng)

    let private uniforms count (streams: Rng[]) =
        let following = Array.copy streams
        let numbers = Array.zeroCreate<float>(streams.Length * count)

        for row in 0 .. streams.Length - 1 do
            for i in 0 .. count - 1 do
                let struct (number, rng) = uniform following[row]
                numbers[row * count + i] <- number
                following[row] <- rng

        struct (numbers, following)

    /// <summary>
    /// Draws places of each row without replacement, in proportion to exp(logit): the first as likely as its probability,
    /// and each further one likewise among those that are left.
    /// </summary>
    /// <param name="count">How many are drawn from each row.</param>
    /// <param name="streams">One per row.</param>
    /// <param name="logits">[rows, n]</param>
    /// <returns>The places of each row, −1 where no probability was left; and the streams after it.</returns>
    /// <exception cref="T:System.InvalidOperationException">A logit is not a number.</exception>
    let draw (count: int) (streams: Rng[]) (logits: Tensor) : struct (int[][] * Rng[]) =
        let struct (numbers, following) = uniforms count streams

        let places =
            Scope.free (fun () ->
                let rows = logits.shape[0]
                let wide = logits.``to`` torch.float64
                // A row that has no token left has no maximum to subtract.
                let greatest = wide.amax ([| -1L |], true)

                if greatest.isnan().logical_or(greatest.isposinf ()).any().item<bool>() then
                    invalidOp
                        "the model gives logits that are not numbers: its weights, or the interventions', are damaged or do not fit the dtype"

                let shifted = wide - greatest.masked_fill (greatest.isinf (), (0.0).ToScalar())
                let weights = shifted.exp ()

                let drawn =
                    torch.tensor(numbers, dtype = torch.float64).view(rows, int64 count).``to`` logits.device

                let places =
                    [ for i in 0L .. int64 count - 1L do
                          use _ = torch.NewDisposeScope()
                          let sums = weights.cumsum -1L
                          let total = sums.narrow (1L, sums.shape[1] - 1L, 1L)
                          // Rounding must not reach the total itself, which no place exceeds.
                          let target =
                              torch.minimum (drawn.narrow (1L, i, 1L) * total, total * (1.0 - 2.0 ** -52.0))

                          let place = sums.le(target).sum(1L, true)
                          let none = total.le ((0.0).ToScalar())
                          let place = place.masked_fill (none, (0).ToScalar())

                          weights.scatter_ (1L, place, torch.zeros_like (place, dtype = torch.float64))
                          |> ignore

                          place.masked_fill(none, (-1).ToScalar()).MoveToOuterDisposeScope() ]

                torch.cat(ResizeArray places, 1L).cpu().data<int64>().ToArray())

        struct (places |> Array.map int |> Array.chunkBySize count, following)
