namespace Reft.Core

open TorchSharp

/// <summary>
/// ReFT-r1: Φ(h) = h + (1/k) ‖TopK(a)‖₁ w, a = ReLU(h·w), where ‖w‖ = 1 and the top k are taken over the edited rows of an
/// example (AxBench, arXiv 2501.17148, section 3.2).
/// </summary>
/// <remarks>
/// One direction that detects a concept and writes it: its latents say where the concept is, its edit puts in as much as
/// the strongest k of them. Every edited row gets the same change, so that an example's rows must be edited in one pass: in
/// the phase Prompt. Train it with <c>ReftR1.offTop</c> as a penalty to keep the other latents at 0. A fixed vector of the
/// same use is activation addition; an edit that differs from row to row is rank-1 LoReFT.
/// </remarks>
[<RequireQualifiedAccess>]
module ReftR1 =

    [<Literal>]
    let private Direction = "direction"

    let private unit' (theta: Parameters) =
        let w: Tensor = theta[Direction]
        w / w.norm ()

    /// Latents [n] as one row per example, [examples, most rows], 0 where an example has fewer; and each latent's example.
    let private perExample (rows: int[]) (latents: Tensor) =
        let count = int latents.shape[0]

        if rows.Length <> count || count = 0 then
            invalidArg
                (nameof rows)
                $"ReFT-r1 takes its top k within an example: expected the batch row of each of {max 1 count} rows (Context.Rows), found {rows.Length}"

        // The examples that are there, by number: a batch may have rows that are not edited.
        let number = rows |> Array.distinct |> Array.mapi (fun i row -> row, i) |> dict
        let next = Array.zeroCreate<int> number.Count

        let places =
            rows
            |> Array.map (fun row ->
                let example = number[row]
                let place = next[example]
                next[example] <- place + 1
                example, place)

        let widest = Array.max next

        let flat =
            places |> Array.map (fun (example, place) -> int64 (example * widest + place))

        let index (numbers: int64[]) =
            (torch.tensor numbers).``to`` latents.device

        let table =
            torch
                .zeros(int64 (number.Count * widest), dtype = latents.dtype, device = latents.device)
                .index_copy(0L, index flat, latents)
                .view(int64 number.Count, int64 widest)

        table, index (places |> Array.map (fst >> int64))

    let private top (k: int) (table: Tensor) =
        let struct (values, _) = table.topk (min k (int table.shape[1]), 1)
        values.sum 1L // [examples]

    /// <summary>The latents ReLU(h·w) of rows h [n, width]. [n]</summary>
    /// <param name="theta">The parameters of one ReFT-r1.</param>
    /// <param name="h">Rows, e.g. collected at the site.</param>
    let latents (theta: Parameters) (h: Tensor) : Tensor =
        torch.mv (h, unit' theta) |> torch.nn.functional.relu

    /// <summary>
    /// The sum of the latents outside the top k of each example, as a mean over the examples: the L1 penalty of the paper.
    /// </summary>
    /// <param name="k">How many are free.</param>
    /// <param name="rows">The example of each latent.</param>
    /// <param name="latents">What <c>latents</c> gives. [n]</param>
    let offTop (k: int) (rows: int[]) (latents: Tensor) : Tensor =
        let table, _ = perExample rows latents
        (table.sum 1L - top k table).mean()

    let private bind (k: int) (theta: Parameters) =
        let w = unit' theta

        Edit.Delta(fun context h ->
            let latents = torch.mv (h, w) |> torch.nn.functional.relu
            let table, example = perExample context.Rows latents
            let strength = (top k table /. float32 k).index_select(0L, example) // [n]
            strength.unsqueeze 1L * w)

    /// <summary>ReFT-r1 with the strongest <paramref name="topK"/> latents of an example.</summary>
    /// <exception cref="T:System.ArgumentException">The number is not positive.</exception>
    let create (topK: int) : Intervention =
        if topK < 1 then
            invalidArg (nameof topK) $"ReFT-r1 needs a top_k of 1 or more, found {topK}"

        Intervention.create
            (Form.Method("reft_r1", [ "top_k", FormOption.Int topK ]))
            (fun width rng -> Parameters.ofSeq [ Direction, Rng.normal [ int64 width ] rng ])
            (bind topK)

    /// <summary>ReFT-r1 from the options that its form holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "reft_r1" [ "top_k" ]
        create (options |> FormOptions.required "reft_r1" "top_k")
