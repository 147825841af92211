namespace Reft.Core

open System
open System.Runtime.InteropServices
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

    /// Ends a generation whose logits, or what became of them, are no numbers or overflow.
    let internal refuseNotNumbers () : unit =
        invalidOp
            "the model gives logits that are not numbers: its weights, or the interventions', are damaged or do not fit the dtype"

    /// Independent standard Gumbel draws, and the stream after them.
    let private fillGumbel (noise: Span<float>) (stream: Rng) =
        let mutable stream = stream

        for i in 0 .. noise.Length - 1 do
            let struct (bits, following) = Rng.next stream
            stream <- following
            // 52 bits and a half: neither 0 nor 1.
            let uniform = (float (bits >>> 12) + 0.5) * 2.0 ** -52.0
            noise[i] <- -(log -(log uniform))

        stream

    /// The noise of rows, [rows, n], written where libtorch reads it: an array of this size for every token would keep the
    /// garbage collector busy.
    let private gumbel (n: int) (streams: Rng[]) =
        let noise = torch.empty ([| int64 streams.Length; int64 n |], dtype = torch.float64)

        let numbers = MemoryMarshal.Cast<byte, float> noise.bytes
        let following = Array.copy streams

        for row in 0 .. streams.Length - 1 do
            following[row] <- fillGumbel (numbers.Slice(row * n, n)) following[row]

        struct (noise, following)

    /// <summary>
    /// Draws places of each row without replacement, in proportion to exp(logit): the first as likely as its probability,
    /// and each further one likewise among those that are left.
    /// </summary>
    /// <remarks>
    /// The places with the greatest logits after independent Gumbel noise is added have just this distribution (Kool et al.,
    /// arXiv 1903.06059). Unlike a place in the cumulative distribution, they hardly change with the rounding of the logits,
    /// which depends on the batch.
    /// </remarks>
    /// <param name="count">How many are drawn from each row.</param>
    /// <param name="streams">One per row.</param>
    /// <param name="logits">[rows, n]</param>
    /// <returns>The places of each row, −1 where no probability was left; and the streams after it.</returns>
    /// <exception cref="T:System.InvalidOperationException">A logit is not a number.</exception>
    let draw (count: int) (streams: Rng[]) (logits: Tensor) : struct (int[][] * Rng[]) =
        Scope.free (fun () ->
            let struct (noise, following) = gumbel (int logits.shape[1]) streams
            let noise = noise.view_as(logits).``to`` logits.device

            let struct (greatest, places) =
                (logits.``to`` torch.float64 .+ noise).topk(count, 1, true, true)

            let greatest = greatest.cpu().data<float>().ToArray()

            if
                greatest
                |> Array.exists (fun x -> Double.IsNaN x || Double.IsPositiveInfinity x)
            then
                refuseNotNumbers ()

            let places =
                Array.map2
                    (fun place logit -> if Double.IsNegativeInfinity logit then -1 else int place)
                    (places.cpu().data<int64>().ToArray())
                    greatest

            struct (Array.chunkBySize count places, following))
