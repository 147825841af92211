namespace Reft.Core

open System
open TorchSharp

/// <summary>What stands for the intervention where it is to hold a concept back.</summary>
[<RequireQualifiedAccess>]
type RepsSuppression =
    /// The change times −α.
    | Negated
    /// What the rows have along the change v is taken out of them: h − max(h·v, 0) / ‖v‖² · v.
    | NulledOut

/// <summary>How steering is learnt.</summary>
type RepsOptions =
    {
        /// The factors α, one of which is drawn for each pair of a step; in an evaluation it is their mean.
        Factors: float list
        /// What holds the concept back.
        Suppression: RepsSuppression
    }

/// <summary>
/// Reference-free preference steering (RePS, arXiv 2505.20809): an intervention learns to bring a concept in where it is
/// applied with a factor α &gt; 0, and to keep it out where it is negated or nulled.
/// </summary>
/// <remarks>
/// With y⁺ the completion that has the concept (preferred), y⁻ the one without it, |y| their scored tokens, and p the same
/// model without interventions: Δ⁺ = β⁺ log p_{+α}(y⁺) / |y⁺| − log p_{+α}(y⁻) / |y⁻| with β⁺ = max(log p(y⁻) − log p(y⁺), 1), and
/// Δ⁻ = β⁻ log p_0(y⁻) / |y⁻| − log p_0(y⁺) / |y⁺| with β⁻ = max(log p(y⁺) − log p(y⁻), 1), where p_0 has the suppressing
/// intervention. The loss is −log σ(Δ⁺) − log σ(Δ⁻), a mean over pairs.
/// </remarks>
[<RequireQualifiedAccess>]
module Reps =

    /// What the drawing of factors forks its random state by: no placement has such a number.
    [<Literal>]
    let private FactorStream = 0x52655053

    /// <summary>The change as it is, and its negative.</summary>
    let defaults: RepsOptions =
        { Factors = [ 1.0 ]
          Suppression = RepsSuppression.Negated }

    /// <summary>The options themselves, if they make sense.</summary>
    /// <exception cref="T:System.ArgumentException">There is no factor, or one that is not a positive number.</exception>
    let check (options: RepsOptions) : RepsOptions =
        if options.Factors.IsEmpty then
            invalidArg (nameof options) "expected at least one steering factor, found none"

        options.Factors
        |> List.iter (fun factor ->
            if not (factor > 0.0 && Double.IsFinite factor) then
                invalidArg (nameof options) $"expected steering factors that are positive numbers, found {factor}")

        options

    /// <summary>The factor of each of a batch's rows: both rows of a pair have the same.</summary>
    let factors (options: RepsOptions) (batch: Batch) : float[] =
        let choices = List.toArray options.Factors

        let ofPair pair =
            match batch.Random with
            | None -> Array.average choices
            | Some rng ->
                let struct (choice, _) =
                    rng |> Rng.fork FactorStream |> Rng.fork pair |> Rng.below choices.Length

                choices[choice]

        let pairs = Array.init batch.Pairs ofPair
        Array.append pairs pairs

    let private change (edit: Edit) =
        match edit with
        | Edit.Delta f -> f
        | Edit.Replace f -> fun context h -> f context h - h

    let private withEdits (map: Edit -> Edit) (spec: ReftSpec) : ReftSpec =
        spec
        |> List.map (fun placement ->
            { placement with
                What =
                    { placement.What with
                        Bind = placement.What.Bind >> map } })

    /// <summary>A spec whose changes are multiplied by a factor for each row of the batch. It has the same parameters.</summary>
    let scaled (factors: float[]) (spec: ReftSpec) : ReftSpec =
        spec
        |> withEdits (fun edit ->
            let change = change edit

            Edit.Delta(fun context h ->
                let own = context.Rows |> Array.map (fun row -> float32 factors[row])
                change context h * (torch.tensor own).unsqueeze(1L).``to`` h.device))

    /// <summary>
    /// A spec that takes out of the rows what they have along its changes: h − max(h·v, 0) / ‖v‖² · v. It has the same parameters.
    /// </summary>
    let nulled (spec: ReftSpec) : ReftSpec =
        spec
        |> withEdits (fun edit ->
            let change = change edit

            Edit.Delta(fun context h ->
                let v = change context h
                let along = (h * v).sum(1L, true).relu()
                -(v * (along / (squared v).sum(1L, true).clamp_min(held (1e-12f))))))

    let private attached (spec: ReftSpec) (batch: Batch) (theta: Parameters) (tuned: Tuned) =
        let struct (context, model) = { tuned with Spec = spec } |> Tuned.attach batch theta
        model |> SequenceLogProbs.ofBatch batch context

    /// log p of a token on average: of the preferred rows and the others, as steered; and the same as held back.
    let private perToken (options: RepsOptions) (tuned: Tuned) (batch: Batch) (theta: Parameters) =
        let factors = factors options batch

        let suppressing =
            match options.Suppression with
            | RepsSuppression.Negated -> scaled (factors |> Array.map (fun factor -> -factor)) tuned.Spec
            | RepsSuppression.NulledOut -> nulled tuned.Spec

        let steered = tuned |> attached (scaled factors tuned.Spec) batch theta
        let suppressed = tuned |> attached suppressing batch theta
        let counts = SequenceLogProbs.counts steered.device batch
        struct (steered / counts |> Preference.halves batch, suppressed / counts |> Preference.halves batch)

    let private ofBase (tuned: Tuned) (batch: Batch) (theta: Parameters) =
        Preference.frozen (fun batch theta -> tuned |> Tuned.unedited batch theta) batch theta
        |> Preference.halves batch

    let private losses ofBase steered suppressed =
        let struct (plusOfBase: Tensor, minusOfBase: Tensor) = ofBase
        let struct (plusSteered: Tensor, minusSteered: Tensor) = steered
        let struct (plusSuppressed: Tensor, minusSuppressed: Tensor) = suppressed

        let toward =
            (minusOfBase - plusOfBase).clamp_min(held 1.0f) * plusSteered - minusSteered

        let away =
            (plusOfBase - minusOfBase).clamp_min(held 1.0f) * minusSuppressed
            - plusSuppressed

        -(torch.nn.functional.logsigmoid toward) - torch.nn.functional.logsigmoid away

    let private checkBatch (tuned: Tuned) (batch: Batch) =
        if tuned.Spec.IsEmpty then
            invalidArg (nameof tuned) "RePS scales interventions, and none is attached: expected a spec"

        if batch.Pairs = 0 then
            Preference.halves batch (torch.zeros 0L) |> ignore

    /// <summary>
    /// The mean loss of a batch's pairs. It has a first derivative; <see cref="M:Reft.Core.TunedModule.smooth"/> gives all.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range; the batch has no pairs; or nothing is attached.</exception>
    let loss (options: RepsOptions) (tuned: Tuned) : Loss =
        let options = check options

        fun batch theta ->
            checkBatch tuned batch

            Scope.run (fun () ->
                // Before the graphs of what is trained are in memory.
                let ofBase = ofBase tuned batch theta
                let struct (steered, suppressed) = perToken options tuned batch theta
                (losses ofBase steered suppressed).mean())

    /// <summary>
    /// How well pairs are steered, without gradients: <c>loss</c>, <c>accuracy</c> (the share of pairs whose preferred row is
    /// likelier a token, as steered), <c>suppression</c> (the share whose other row is, as held back) and <c>margin</c> (by how
    /// much the steered log p of a token differs).
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range; there are no pairs; or nothing is attached.</exception>
    let metrics (options: RepsOptions) (tuned: Tuned) (batches: Batch seq) (theta: Parameters) : Metrics =
        let options = check options

        batches
        |> TermMetrics.mean (fun batch ->
            checkBatch tuned batch
            let struct (steered, suppressed) = perToken options tuned batch theta
            let struct (plus, minus) = steered
            let struct (plusHeldBack, minusHeldBack) = suppressed

            [ "loss", losses (ofBase tuned batch theta) steered suppressed
              "accuracy", (plus.gt minus).``to`` torch.float32
              "suppression", (minusHeldBack.gt plusHeldBack).``to`` torch.float32
              "margin", plus - minus ])
