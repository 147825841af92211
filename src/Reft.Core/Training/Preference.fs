namespace Reft.Core

open System
open TorchSharp

/// <summary>What a preference loss makes of the rewards r of the two rows of a pair.</summary>
[<RequireQualifiedAccess>]
type PreferenceLoss =
    /// <summary>
    /// Direct preference optimisation (arXiv 2305.18290): −log σ(r⁺ − r⁻) with r = β (log π − log π_ref). With a smoothing ε the
    /// labels are taken to be wrong so often: −(1 − ε) log σ(r⁺ − r⁻) − ε log σ(r⁻ − r⁺).
    /// </summary>
    | Dpo of labelSmoothing: float
    /// <summary>
    /// Identity preference optimisation (arXiv 2310.12036, equation 17): (h − 1/(2β))², where h is the difference of
    /// log π − log π_ref. It does not push a margin to infinity.
    /// </summary>
    | Ipo
    /// <summary>
    /// SimPO (arXiv 2405.14734): −log σ(r⁺ − r⁻ − γ) with r = β log π / tokens, without a reference.
    /// </summary>
    | SimPo of margin: float

/// <summary>How a preference is learnt.</summary>
type PreferenceLossOptions =
    {
        /// The loss.
        Method: PreferenceLoss
        /// β: the larger, the closer to the reference.
        Beta: float
    }

/// <summary>
/// Learning from pairs of completions, one of which is preferred. The reference of DPO is the same model without its
/// interventions, so that no second model is in memory.
/// </summary>
[<RequireQualifiedAccess>]
module Preference =

    /// <summary>The model that a preference is measured against, in the context of a batch, for what is trained.</summary>
    type Reference = Batch -> Parameters -> struct (Context * Transformer)

    /// <summary>DPO with β = 0.1 and labels that are always right.</summary>
    let defaults: PreferenceLossOptions =
        { Method = PreferenceLoss.Dpo 0.0
          Beta = 0.1 }

    /// <summary>The options themselves, if they make sense.</summary>
    /// <exception cref="T:System.ArgumentException">β is not a positive number, ε is not in [0, 0.5), or γ is negative.</exception>
    let check (options: PreferenceLossOptions) : PreferenceLossOptions =
        if not (options.Beta > 0.0 && Double.IsFinite options.Beta) then
            invalidArg (nameof options) $"expected β to be a positive number, found {options.Beta}"

        match options.Method with
        | PreferenceLoss.Dpo smoothing when not (smoothing >= 0.0 && smoothing < 0.5) ->
            invalidArg (nameof options) $"expected a label smoothing of 0 … 0.5 (0.5 excluded), found {smoothing}"
        | PreferenceLoss.SimPo margin when not (margin >= 0.0 && Double.IsFinite margin) ->
            invalidArg (nameof options) $"expected a margin of 0 or more, found {margin}"
        | _ -> options

    /// The first rows of a batch, which are preferred, and the others.
    let internal halves (batch: Batch) (rows: Tensor) : struct (Tensor * Tensor) =
        let pairs = int64 batch.Pairs

        if pairs = 0L then
            invalidArg
                (nameof batch)
                "a preference is learnt from pairs, and the rows of this batch stand alone: make them by Example.preferredTo"

        struct (rows.narrow (0L, 0L, pairs), rows.narrow (0L, pairs, pairs))

    /// log p of the rows under a model that is not trained, and that nothing random acts in.
    let internal frozen (reference: Reference) (batch: Batch) (theta: Parameters) : Tensor =
        use _ = torch.no_grad ()

        Scope.run (fun () ->
            let quiet = { batch with Random = None }
            let struct (context, model) = reference quiet theta
            model |> SequenceLogProbs.ofBatch quiet context)

    /// <summary>The rewards r of rows. [rows]</summary>
    /// <param name="options">The loss.</param>
    /// <param name="counts">How many tokens of each row are scored. [rows]</param>
    /// <param name="reference">log p of each row under the reference, where there is one. [rows]; SimPO reads none.</param>
    /// <param name="policy">log p of each row. [rows]</param>
    let rewards (options: PreferenceLossOptions) (counts: Tensor) (reference: Tensor option) (policy: Tensor) : Tensor =
        match options.Method, reference with
        | PreferenceLoss.SimPo _, _ -> policy / counts *. float32 options.Beta
        | _, Some reference -> (policy - reference) *. float32 options.Beta
        | _, None -> policy *. float32 options.Beta

    /// <summary>The loss of each pair, from the difference r⁺ − r⁻ of its rewards. [pairs]</summary>
    let ofMargins (options: PreferenceLossOptions) (margins: Tensor) : Tensor =
        let better (x: Tensor) = torch.nn.functional.logsigmoid x

        match options.Method with
        | PreferenceLoss.Dpo 0.0 -> -(better margins)
        | PreferenceLoss.Dpo smoothing ->
            -(better margins) *. float32 (1.0 - smoothing)
            - better (-margins) *. float32 smoothing
        | PreferenceLoss.Ipo -> squared (margins /. float32 options.Beta -. float32 (1.0 / (2.0 * options.Beta)))
        | PreferenceLoss.SimPo margin -> -(better (margins -. float32 margin))

    /// log p of the rows under the reference, where the loss has one.
    let private ofReference options (reference: Reference) batch theta =
        if options.Method.IsSimPo then
            None
        else
            Some(frozen reference batch theta)

    let private rewardsOf options (reference: Reference) (tuned: Tuned) (batch: Batch) (theta: Parameters) =
        // Refused before anything is computed.
        if batch.Pairs = 0 then
            halves batch (torch.zeros 0L) |> ignore

        // Before the graph of what is trained is in memory.
        let fromReference = ofReference options reference batch theta

        let struct (context, model) = tuned |> Tuned.attach batch theta

        model
        |> SequenceLogProbs.ofBatch batch context
        |> rewards options (SequenceLogProbs.counts model.Device batch) fromReference

    /// <summary>
    /// <see cref="M:Reft.Core.Preference.lossAgainst"/> as what stands on the residual stream, e.g. for
    /// <see cref="M:Reft.Core.Recompute.loss"/>.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range; or the batch has no pairs.</exception>
    let readoutAgainst (options: PreferenceLossOptions) (reference: Reference) : Readout =
        let options = check options

        fun batch theta context model residual ->
            Scope.run (fun () ->
                let struct (chosen, rejected) =
                    residual
                    |> SequenceLogProbs.ofResidual batch context model
                    |> rewards
                        options
                        (SequenceLogProbs.counts model.Device batch)
                        (ofReference options reference batch theta)
                    |> halves batch

                (chosen - rejected |> ofMargins options).mean())

    /// <summary><see cref="M:Reft.Core.Preference.loss"/> as what stands on the residual stream.</summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range; or the batch has no pairs.</exception>
    let readout (options: PreferenceLossOptions) (tuned: Tuned) : Readout =
        readoutAgainst options (fun batch theta -> tuned |> Tuned.unedited batch theta)

    /// <summary>The mean loss of a batch's pairs, measured against another model.</summary>
    /// <param name="options">The loss.</param>
    /// <param name="reference">What it is measured against, e.g. the model before its weights were tuned.</param>
    /// <param name="tuned">What is trained.</param>
    /// <exception cref="T:System.ArgumentException">An option is out of range; or the batch has no pairs.</exception>
    let lossAgainst (options: PreferenceLossOptions) (reference: Reference) (tuned: Tuned) : Loss =
        let options = check options

        fun batch theta ->
            Scope.run (fun () ->
                let struct (chosen, rejected) =
                    rewardsOf options reference tuned batch theta |> halves batch

                (chosen - rejected |> ofMargins options).mean())

    /// <summary>
    /// The mean loss of a batch's pairs, measured against the same model without its interventions. It has a first derivative;
    /// <see cref="M:Reft.Core.TunedModule.smooth"/> gives all.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range; or the batch has no pairs.</exception>
    let loss (options: PreferenceLossOptions) (tuned: Tuned) : Loss =
        lossAgainst options (fun batch theta -> tuned |> Tuned.unedited batch theta) tuned

    /// <summary>
    /// How well pairs are told apart, without gradients: <c>loss</c>, <c>accuracy</c> (the share of pairs whose preferred row
    /// has the greater reward), <c>margin</c> (the mean of r⁺ − r⁻), <c>chosen_reward</c> and <c>rejected_reward</c>.
    /// </summary>
    /// <param name="options">The loss.</param>
    /// <param name="reference">What it is measured against.</param>
    /// <param name="tuned">What was trained.</param>
    /// <param name="batches">The pairs.</param>
    /// <param name="theta">The parameters.</param>
    /// <exception cref="T:System.ArgumentException">There are no pairs.</exception>
    let metricsAgainst
        (options: PreferenceLossOptions)
        (reference: Reference)
        (tuned: Tuned)
        (batches: Batch seq)
        (theta: Parameters)
        : Metrics =
        let options = check options

        batches
        |> TermMetrics.mean (fun batch ->
            let struct (chosen, rejected) =
                rewardsOf options reference tuned batch theta |> halves batch

            [ "loss", chosen - rejected |> ofMargins options
              "accuracy", (chosen.gt rejected).``to`` torch.float32
              "margin", chosen - rejected
              "chosen_reward", chosen
              "rejected_reward", rejected ])

    /// <summary>
    /// <see cref="M:Reft.Core.Preference.metricsAgainst"/> the same model without its interventions.
    /// </summary>
    let metrics (options: PreferenceLossOptions) (tuned: Tuned) (batches: Batch seq) (theta: Parameters) : Metrics =
        metricsAgainst options (fun batch theta -> tuned |> Tuned.unedited batch theta) tuned batches theta
