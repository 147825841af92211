namespace Reft.Core

open System

/// <summary>How likely a model finds one of several continuations of a prompt.</summary>
[<Struct>]
type ChoiceLikelihood =
    {
        /// The sum of log p over its tokens.
        LogProb: float
        /// How many tokens.
        Tokens: int
    }

/// <summary>By what choices are compared.</summary>
[<RequireQualifiedAccess>]
type ChoiceMeasure =
    /// The sum of log p over a choice's tokens.
    | Likelihood
    /// The same divided by the number of tokens.
    | PerToken
    /// The same divided by the number of bytes of its UTF-8 text: lm-evaluation-harness's <c>acc_norm</c>.
    | PerByte
    /// The same minus the log p that it has after a neutral prompt: pointwise mutual information (Brown et al. 2020, section 2.4).
    | PointwiseInformation

/// <summary>Multiple choice: by likelihood, or by what a model says.</summary>
[<RequireQualifiedAccess>]
module Choices =

    /// <summary>log p of what follows the prompt, example by example of a batch; a first token without a prompt is not scored.</summary>
    /// <param name="bound">What is attached, if anything.</param>
    /// <param name="model">A causal model.</param>
    /// <param name="batch">Prompts with their continuations: <see cref="M:Reft.Core.ExampleModule.ofCompletion"/>.</param>
    let likelihoods (bound: BoundReft list) (model: Transformer) (batch: Batch) : ChoiceLikelihood[] =
        Score.logprobs bound model batch
        |> Array.mapi (fun row logprobs ->
            let scored = logprobs[max 0 (batch.Examples[row].Prompt - 1) ..]

            { LogProb = scored |> Array.sumBy float
              Tokens = scored.Length })

    /// <summary>The number by which a choice is compared.</summary>
    /// <param name="measure">What is compared.</param>
    /// <param name="bytes">The length of its text in UTF-8; read for <c>PerByte</c> alone.</param>
    /// <param name="neutral">log p after the neutral prompt; read for <c>PointwiseInformation</c> alone.</param>
    /// <param name="likelihood">log p after its own prompt.</param>
    /// <exception cref="T:System.ArgumentException">The choice has no token, or no byte.</exception>
    let score (measure: ChoiceMeasure) (bytes: int) (neutral: float) (likelihood: ChoiceLikelihood) : float =
        let per (name: string) count =
            if count < 1 then
                invalidArg name $"expected a choice of at least one, found {count}"

            likelihood.LogProb / float count

        match measure with
        | ChoiceMeasure.Likelihood -> likelihood.LogProb
        | ChoiceMeasure.PerToken -> per "tokens" likelihood.Tokens
        | ChoiceMeasure.PerByte -> per (nameof bytes) bytes
        | ChoiceMeasure.PointwiseInformation -> likelihood.LogProb - neutral

    /// <summary>The number of the greatest score, the first of equal ones.</summary>
    let best (scores: float[]) : int =
        scores |> Array.indexed |> Array.maxBy snd |> fst

    /// <summary>
    /// Which choice a text says: the one that it is, spaces around both aside, or else the one that it begins with (the longest,
    /// where one choice begins another).
    /// </summary>
    /// <param name="choices">The texts of the choices.</param>
    /// <param name="text">What was said.</param>
    /// <returns>Nothing where it is none of them.</returns>
    let said (choices: string list) (text: string) : int option =
        let text = text.Trim()
        let trimmed = choices |> List.map _.Trim() |> List.indexed

        match trimmed |> List.tryFind (fun (_, choice) -> choice = text) with
        | Some(number, _) -> Some number
        | None ->
            match
                trimmed
                |> List.filter (fun (_, choice) -> choice <> "" && text.StartsWith(choice, StringComparison.Ordinal))
            with
            | [] -> None
            | beginning -> beginning |> List.maxBy (fun (_, choice) -> choice.Length) |> fst |> Some
