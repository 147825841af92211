namespace Reft.Core

open TorchSharp

/// <summary>How the distribution is changed that tokens are drawn from.</summary>
type Warping =
    {
        /// What logits are divided by: below 1 likely tokens become likelier.
        Temperature: float
        /// Only this many of the most likely tokens remain.
        TopK: int option
        /// Only the most likely tokens remain, as few as make up this probability.
        TopP: float option
        /// Only tokens remain that are at least this many times as likely as the most likely one.
        MinP: float option
    }

/// <summary>
/// Warps of logits, as transformers' <c>generate</c> defines them. Each maps [rows, vocabulary] to the same shape, fp32; what
/// does not remain becomes −∞.
/// </summary>
[<RequireQualifiedAccess>]
module Warp =

    /// <summary>The model's own distribution.</summary>
    let none: Warping =
        { Temperature = 1.0
          TopK = None
          TopP = None
          MinP = None }

    let private without (removed: Tensor) (logits: Tensor) =
        logits.masked_fill (removed, held (-infinityf))

    /// <summary>Divides by a temperature.</summary>
    let temperature (value: float) (logits: Tensor) : Tensor = logits /. float32 value

    /// <summary>Keeps the k most likely tokens, and what is as likely as the last of them.</summary>
    /// <param name="least">How many tokens remain at least.</param>
    /// <param name="k">How many remain.</param>
    /// <param name="logits">[rows, vocabulary]</param>
    let topK (least: int) (k: int) (logits: Tensor) : Tensor =
        Scope.run (fun () ->
            let kept = min (int64 (max k least)) logits.shape[1]
            let struct (values, _) = logits.topk (int kept, -1, true, true)
            logits |> without (logits.lt (values.narrow (-1L, kept - 1L, 1L))))

    /// <summary>Keeps the least number of most likely tokens whose probabilities add up to p (nucleus sampling; Holtzman et al., arXiv 1904.09751).</summary>
    /// <param name="least">How many tokens remain at least.</param>
    /// <param name="p">The probability to reach.</param>
    /// <param name="logits">[rows, vocabulary]</param>
    let topP (least: int) (p: float) (logits: Tensor) : Tensor =
        Scope.run (fun () ->
            // Ascending: what goes is a beginning whose sum is at most 1 − p.
            let struct (sorted, order) = logits.sort (-1L, false)
            let below = sorted.softmax(-1L).cumsum(-1L).le(held (float32 (1.0 - p)))
            let count = logits.shape[1]
            let spared = min (int64 least) count

            below.narrow(-1L, count - spared, spared).fill_(held 0) |> ignore

            logits |> without (below.scatter (1L, order, below)))

    /// <summary>Keeps tokens that are at least p times as likely as the most likely one (arXiv 2407.01082).</summary>
    /// <param name="least">How many tokens remain at least.</param>
    /// <param name="p">The share of the greatest probability.</param>
    /// <param name="logits">[rows, vocabulary]</param>
    let minP (least: int) (p: float) (logits: Tensor) : Tensor =
        Scope.run (fun () ->
            let probabilities = logits.softmax -1L
            let bound = probabilities.amax ([| -1L |], true) *. float32 p
            let removed = probabilities.lt bound

            let struct (_, order) =
                logits.topk (int (min (int64 least) logits.shape[1]), -1, true, true)

            logits
            |> without (removed.scatter (1L, order, torch.zeros_like (order, dtype = torch.bool))))

    /// <summary>Refuses settings that mean nothing.</summary>
    /// <exception cref="T:System.ArgumentException">A setting is out of range: the message names it.</exception>
    let check (warping: Warping) : unit =
        let refuse name expected found =
            invalidArg (nameof warping) $"expected {name} {expected}, found {found}"

        // Smaller ones pass what fp32 logits can be divided by.
        if not (warping.Temperature >= 1e-6 && warping.Temperature < infinity) then
            refuse "Temperature" "of at least 1e-6" warping.Temperature

        match warping.TopK with
        | Some k when k < 1 -> refuse "TopK" "of 1 or more" (float k)
        | _ -> ()

        match warping.TopP with
        | Some p when not (p > 0.0 && p <= 1.0) -> refuse "TopP" "above 0 and at most 1" p
        | _ -> ()

        match warping.MinP with
        | Some p when not (p >= 0.0 && p <= 1.0) -> refuse "MinP" "of 0 … 1" p
        | _ -> ()

    /// <summary>The warps of settings in transformers' order: temperature, top-k, top-p, min-p.</summary>
    /// <param name="least">How many tokens remain at least: 1, or in a beam search one more than there are ends, and two at least.</param>
    /// <param name="warping">The settings.</param>
    /// <param name="logits">[rows, vocabulary]</param>
    let apply (least: int) (warping: Warping) (logits: Tensor) : Tensor =
        let optional (warp: 'T -> Tensor -> Tensor) setting logits =
            match setting with
            | Some value -> warp value logits
            | None -> logits

        Scope.run (fun () ->
            (if warping.Temperature = 1.0 then
                 logits
             else
                 temperature warping.Temperature logits)
            |> optional (topK least) warping.TopK
            |> optional (topP least) (warping.TopP |> Option.filter (fun p -> p < 1.0))
            |> optional (minP least) warping.MinP)
