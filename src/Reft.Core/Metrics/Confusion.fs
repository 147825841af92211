namespace Reft.Core

/// <summary>How often each label was predicted where each label was right.</summary>
type ConfusionTable =
    {
        /// The number of labels.
        Labels: int
        /// Counts, row by row: <c>Counts[target × Labels + predicted]</c>.
        Counts: int[]
    }

    /// <summary>How often <paramref name="predicted"/> was said where <paramref name="target"/> was right.</summary>
    member table.Item(target: int, predicted: int) =
        table.Counts[target * table.Labels + predicted]

    /// <summary>The number of rows.</summary>
    member table.Rows = Array.sum table.Counts

/// <summary>Numbers that compare right labels with predicted ones.</summary>
[<RequireQualifiedAccess>]
module Confusion =

    /// <summary>The table of some rows.</summary>
    /// <param name="labels">How many labels there are.</param>
    /// <param name="pairs">The right and the predicted label of each row, from 0.</param>
    /// <exception cref="T:System.ArgumentException">A label is out of range.</exception>
    let ofPairs (labels: int) (pairs: struct (int * int) seq) : ConfusionTable =
        let counts = Array.zeroCreate (labels * labels)

        for struct (target, predicted) in pairs do
            if target < 0 || target >= labels || predicted < 0 || predicted >= labels then
                invalidArg (nameof pairs) $"expected labels of 0 … {labels - 1}, found {target} and {predicted}"

            let place = target * labels + predicted
            counts[place] <- counts[place] + 1

        { Labels = labels; Counts = counts }

    let private targets (table: ConfusionTable) =
        Array.init table.Labels (fun label ->
            Seq.sumBy (fun other -> table[label, other]) (seq { 0 .. table.Labels - 1 }))

    let private predictions (table: ConfusionTable) =
        Array.init table.Labels (fun label ->
            Seq.sumBy (fun other -> table[other, label]) (seq { 0 .. table.Labels - 1 }))

    let private right (table: ConfusionTable) =
        Seq.sumBy (fun label -> table[label, label]) (seq { 0 .. table.Labels - 1 })

    let private ratio (part: float) (whole: float) =
        if whole = 0.0 then 0.0 else part / whole

    /// <summary>The share of right rows; 0 where there are none.</summary>
    let accuracy (table: ConfusionTable) : float =
        ratio (float (right table)) (float table.Rows)

    /// <summary>Of the rows predicted to be of a label, the share that are; 0 where none is predicted.</summary>
    let precision (label: int) (table: ConfusionTable) : float =
        ratio (float table[label, label]) (float (predictions table).[label])

    /// <summary>Of the rows of a label, the share that are predicted; 0 where there are none.</summary>
    let recall (label: int) (table: ConfusionTable) : float =
        ratio (float table[label, label]) (float (targets table).[label])

    /// <summary>2 tp / (2 tp + fp + fn) of one label, the harmonic mean of precision and recall; 0 where it never occurs.</summary>
    let f1 (label: int) (table: ConfusionTable) : float =
        ratio (2.0 * float table[label, label]) (float ((targets table)[label] + (predictions table)[label]))

    /// <summary>The mean of F1 over the labels that occur, as a target or as a prediction (as scikit-learn does).</summary>
    let macroF1 (table: ConfusionTable) : float =
        let occurring = Array.map2 (+) (targets table) (predictions table)

        let values =
            [| for label in 0 .. table.Labels - 1 do
                   if occurring[label] > 0 then
                       f1 label table |]

        if values.Length = 0 then 0.0 else Array.average values

    /// <summary>
    /// Matthews' correlation; for more than two labels R_K (Gorodkin 2004): (c·s − Σ pₖtₖ) / √((s² − Σ pₖ²)(s² − Σ tₖ²)) with c
    /// right rows of s, tₖ rows of label k and pₖ predictions of it. 0 where all rows or all predictions are of one label.
    /// </summary>
    let matthews (table: ConfusionTable) : float =
        let t, p = targets table |> Array.map float, predictions table |> Array.map float
        let s, c = float table.Rows, float (right table)
        let dot = Array.fold2 (fun sum a b -> sum + a * b) 0.0
        ratio (c * s - dot p t) (sqrt (s * s - dot p p) * sqrt (s * s - dot t t))

    /// <summary>
    /// F1 of decisions taken together (micro): 2 tp / (2 tp + fp + fn) over all labels of all rows, where each row may have several
    /// labels or none. Of one label per row it is the accuracy.
    /// </summary>
    /// <param name="pairs">The right and the predicted labels of each row.</param>
    let microF1 (pairs: struct (Set<int> * Set<int>) seq) : float =
        let both, all =
            pairs
            |> Seq.fold
                (fun (both, all) (struct (target, predicted)) ->
                    both + (Set.intersect target predicted).Count, all + target.Count + predicted.Count)
                (0, 0)

        ratio (2.0 * float both) (float all)
