namespace Reft.Core

/// <summary>How well labelled rows were predicted.</summary>
type SequenceEvaluation =
    {
        /// How many rows.
        Rows: int
        /// The mean loss; in a regression it is the mean squared error.
        Loss: float
        /// The share of rows whose label, or whose every label, is right; <c>None</c> in a regression.
        Accuracy: float option
        /// Pearson's correlation of targets and predictions; <c>None</c> where either has no variance, and in a classification.
        Pearson: float option
    }

/// <summary>Numbers that compare targets with predictions.</summary>
[<RequireQualifiedAccess>]
module SequenceMetrics =

    /// <summary>The share of rows whose label, or whose every label, is right.</summary>
    /// <param name="pairs">Target and prediction of each row.</param>
    let accuracy (pairs: (RowTarget * RowTarget)[]) : float =
        let same =
            pairs
            |> Array.filter (fun (target, predicted) ->
                match target, predicted with
                | RowTarget.Labels a, RowTarget.Labels b -> set a = set b
                | a, b -> a = b)

        float same.Length / float pairs.Length

    /// <summary>Pearson's correlation Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²), over the numbers of all rows.</summary>
    /// <param name="pairs">Target and prediction of each row.</param>
    /// <returns>Nothing where either side has no variance.</returns>
    let pearson (pairs: (RowTarget * RowTarget)[]) : float option =
        let numbers target =
            match target with
            | RowTarget.Values values -> values
            | RowTarget.Label label -> [ float label ]
            | RowTarget.Labels _ -> []

        let side choose =
            let all = pairs |> Array.collect (choose >> numbers >> List.toArray)
            let mean = if all.Length = 0 then 0.0 else Array.average all
            all |> Array.map (fun x -> x - mean)

        let x, y = side fst, side snd
        let dot = Array.fold2 (fun sum a b -> sum + a * b) 0.0
        let scale = sqrt (dot x x * dot y y)
        if scale > 0.0 then Some(dot x y / scale) else None
