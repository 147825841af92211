namespace Reft.Core

open System
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

    /// The noise of a row, the places' independent standard Gumbel draws, and the stream after it.
    let private fillGumbel (noise: float[]) start count (stream: Rng) =
        let mutable stream = stream

        for i in start .. start + count - 1 do
            let struct (bits, following) = Rng.next stream
            stream <- following
            // 52 bits and a half: neither 0 nor 1.
            let uniform = (float (bits >>> 12) + 0.5) * 2.0 ** -52.0
            noise[i] <- -(log -(log uniform))

        stream

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
        let n = int logits.shape[1]
        let noise = Array.zeroCreate<float>(streams.Length * n)
        let following = streams |> Array.mapi (fun row -> fillGumbel noise (row * n) n)

        Scope.free (fun () ->
            let noise =
                torch.tensor(noise, dtype = torch.float64).view_as(logits).``to`` logits.device

            let struct (greatest, places) =
                (logits.``to`` torch.float64 + noise).topk(count, 1, true, true)

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
