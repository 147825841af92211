namespace Reft.Core

open System

/// <summary>
/// Successive halving (Jamieson and Talwalkar, arXiv 1502.07943; with a factor η as in arXiv 1603.06560): all candidates get a
/// small budget, the best 1/η of them η times as much, and so on, until the last few have the largest. What a candidate is, what
/// the budget counts and where results are kept is the caller's.
/// </summary>
type Halving =
    {
        /// The factor between the budgets of two rungs, and the part of the candidates that does not go on: 2 or more.
        Eta: int
        /// The budget of the first rung.
        MinBudget: int
        /// The budget of the last one.
        MaxBudget: int
    }

/// <summary>What a search does next.</summary>
[<RequireQualifiedAccess>]
type HalvingStep =
    /// Run a candidate with the budget of a rung.
    | Run of candidate: int * rung: int * budget: int
    /// All rungs are there: the best candidate of the last one, if any of its values is a number.
    | Finished of best: int option

/// <summary>Successive halving as a function from what is known to what is done next: a search goes on from any results.</summary>
[<RequireQualifiedAccess>]
module SuccessiveHalving =

    let private check halving count =
        if halving.Eta < 2 then
            invalidArg (nameof halving) $"expected Eta ≥ 2, found {halving.Eta}"

        if halving.MinBudget < 1 || halving.MaxBudget < halving.MinBudget then
            invalidArg
                (nameof halving)
                $"expected 1 ≤ MinBudget ≤ MaxBudget, found {halving.MinBudget} and {halving.MaxBudget}"

        if count < 1 then
            invalidArg "count" $"expected at least one candidate, found {count}"

    /// <summary>
    /// Each rung's number of candidates and budget, for so many candidates: budgets grow by η and end with exactly MaxBudget;
    /// of n candidates max(1, ⌊n/η⌋) go on, and a rung that would repeat a single candidate at less than MaxBudget is left out.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A setting is out of range.</exception>
    let rungs (halving: Halving) (count: int) : (int * int) list =
        check halving count

        let rec grow count budget =
            if budget >= int64 halving.MaxBudget then
                [ count, halving.MaxBudget ]
            elif count = 1 then
                // Nothing is left to choose.
                [ 1, halving.MaxBudget ]
            else
                (count, int budget)
                :: grow (max 1 (count / halving.Eta)) (budget * int64 halving.Eta)

        grow count (int64 halving.MinBudget)

    /// From the best to the worst. What is no number is worst; of equals the earlier candidate is better.
    let private ranked (better: Better) (value: int -> float) (candidates: int list) =
        candidates
        |> List.sortBy (fun candidate ->
            let found = value candidate

            let key =
                if Double.IsNaN found then Double.PositiveInfinity
                elif better = Better.Lower then found
                else -found

            struct (Double.IsNaN found, key, candidate))

    /// <summary>
    /// What comes next, given the results so far: candidate and rung → value; <c>nan</c> where a run failed. It depends on the
    /// results of completed rungs alone, so that the order in which the runs of a rung end changes nothing.
    /// </summary>
    /// <param name="halving">The budgets.</param>
    /// <param name="better">Which values are better.</param>
    /// <param name="count">The number of candidates, which are 0 … count − 1.</param>
    /// <param name="result">The value of a candidate on a rung, both from 0, if it is there.</param>
    /// <exception cref="T:System.ArgumentException">A setting is out of range.</exception>
    let next (halving: Halving) (better: Better) (count: int) (result: int -> int -> float option) : HalvingStep =
        let rec climb rung candidates remaining =
            match remaining with
            | [] -> invalidOp "successive halving has no rung"
            | (_, budget) :: above ->
                match candidates |> List.tryFind (fun candidate -> (result candidate rung).IsNone) with
                | Some candidate -> HalvingStep.Run(candidate, rung, budget)
                | None ->
                    let value candidate = (result candidate rung).Value
                    let order = candidates |> ranked better value

                    match above with
                    | [] ->
                        order
                        |> List.tryHead
                        |> Option.filter (value >> Double.IsNaN >> not)
                        |> HalvingStep.Finished
                    | (size, _) :: _ -> climb (rung + 1) (order |> List.truncate size |> List.sort) above

        rungs halving count |> climb 0 [ 0 .. count - 1 ]
