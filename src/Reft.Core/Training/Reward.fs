namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// Reward models: a head of one number, r, learnt from pairs by −log σ(r⁺ − r⁻) (arXiv 2203.02155, equation 1), with an
/// optional pull of rewards towards 0, c (r⁺ + r⁻)² (arXiv 2312.09244).
/// </summary>
/// <remarks>
/// The head reads one token of the whole row, so that rows should be their own prompt: <see cref="M:Reft.Core.ExampleModule.wholePrompt"/>.
/// </remarks>
[<RequireQualifiedAccess>]
module Reward =

    let private check (centering: float) (classifier: Classifier) =
        if not (centering >= 0.0 && Double.IsFinite centering) then
            invalidArg (nameof centering) $"expected a centering of 0 or more, found {centering}"

        if
            classifier.Task.Problem <> SequenceProblem.Regression
            || classifier.Task.Labels.Length <> 1
        then
            invalidArg
                (nameof classifier)
                $"a reward is one number: expected a head for a regression with 1 output, found one for {SequenceTask.problemName classifier.Task.Problem} with {classifier.Task.Labels.Length}"

    /// <summary>The rewards of a batch's rows. [rows] fp32</summary>
    let rewards (classifier: Classifier) (tuned: Tuned) (batch: Batch) (theta: Parameters) : Tensor =
        let struct (context, model) = tuned |> Tuned.attach batch theta

        (model
         |> Classifier.run classifier.Head theta context (Batch.ids model.Device batch))
            .squeeze(1L)

    let private losses (centering: float) (chosen: Tensor) (rejected: Tensor) =
        let ranking = -(torch.nn.functional.logsigmoid (chosen - rejected))

        if centering = 0.0 then
            ranking
        else
            ranking .+ squared (chosen .+ rejected) *. float32 centering

    /// <summary><see cref="M:Reft.Core.Reward.loss"/> as what stands on the residual stream, e.g. for <see cref="M:Reft.Core.Recompute.loss"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The head is not of one number; c is negative; or the batch has no pairs.</exception>
    let readout (centering: float) (classifier: Classifier) : Readout =
        check centering classifier

        fun batch theta context model residual ->
            Scope.run (fun () ->
                let struct (chosen, rejected) =
                    (residual |> Classifier.ofResidual classifier.Head theta context model).squeeze(1L)
                    |> Preference.halves batch

                (losses centering chosen rejected).mean())

    /// <summary>The mean loss of a batch's pairs.</summary>
    /// <param name="centering">c, 0 for none.</param>
    /// <param name="classifier">A head of one number, whose parameters are among those that are trained.</param>
    /// <param name="tuned">What is trained.</param>
    /// <exception cref="T:System.ArgumentException">The head is not of one number; c is negative; or the batch has no pairs.</exception>
    let loss (centering: float) (classifier: Classifier) (tuned: Tuned) : Loss =
        check centering classifier

        fun batch theta ->
            Scope.run (fun () ->
                let struct (chosen, rejected) =
                    rewards classifier tuned batch theta |> Preference.halves batch

                (losses centering chosen rejected).mean())

    /// <summary>
    /// How well pairs are ranked, without gradients: <c>loss</c>, <c>accuracy</c> (the share of pairs whose preferred row has the
    /// greater reward), <c>margin</c> (the mean of r⁺ − r⁻), <c>chosen_reward</c> and <c>rejected_reward</c>.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The head is not of one number; c is negative; or there are no pairs.</exception>
    let metrics
        (centering: float)
        (classifier: Classifier)
        (tuned: Tuned)
        (batches: Batch seq)
        (theta: Parameters)
        : Metrics =
        check centering classifier

        batches
        |> TermMetrics.mean (fun batch ->
            let struct (chosen, rejected) =
                rewards classifier tuned batch theta |> Preference.halves batch

            [ "loss", losses centering chosen rejected
              "accuracy", (chosen.gt rejected).``to`` torch.float32
              "margin", chosen - rejected
              "chosen_reward", chosen
              "rejected_reward", rejected ])
