namespace Reft.Core

open System.Collections.Generic

/// <summary>How often each label was predicted where each label was right. It grows with the rows and the labels, not with the labels' square.</summary>
type ConfusionTable =
    {
        /// How often each label was right.
        Targets: int[]
        /// How often each label was predicted.
        Predictions: int[]
        /// How often each label was right and predicted.
        Right: int[]
        /// The count of each pair of a right and a predicted label that occurs.
        Cells: Map<struct (int * int), int>
    }

    /// <summary>The most labels of which <see cref="P:Reft.Core.ConfusionTable.Counts"/> are laid out (64 MiB).</summary>
    static member DenseLabels = 4096

    /// <summary>The number of labels.</summary>
    member table.Labels = table.Targets.Length

    /// <summary>How often <paramref name="predicted"/> was said where <paramref name="target"/> was right.</summary>
    member table.Item(target: int, predicted: int) =
        table.Cells |> Map.tryFind (struct (target, predicted)) |> Option.defaultValue 0

    /// <summary>The number of rows.</summary>
    member table.Rows = Array.sum table.Targets

    /// <summary>All counts, row by row: <c>Counts[target × Labels + predicted]</c>; they are laid out anew at each call.</summary>
    /// <exception cref="T:System.InvalidOperationException">
    /// There are more labels than <see cref="P:Reft.Core.ConfusionTable.DenseLabels"/>.
    /// </exception>
    member table.Counts: int[] =
        let labels = table.Labels

        if labels > ConfusionTable.DenseLabels then
            invalidOp
                $"a table of {labels} × {labels} labels is too large to lay out (at most {ConfusionTable.DenseLabels}): read its Cells"

        let counts = Array.zeroCreate (labels * labels)

        for KeyValue(struct (target, predicted), count) in table.Cells do
            counts[target * labels + predicted] <- count

        counts

/// <summary>Numbers that compare right labels with predicted ones.</summary>
[<RequireQualifiedAccess>]
module Confusion =

    /// <summary>The table of some rows.</summary>
    /// <param name="labels">How many labels there are.</param>
    /// <param name="pairs">The right and the predicted label of each row, from 0.</param>
    /// <exception cref="T:System.ArgumentException">A label is out of range.</exception>
    let ofPairs (labels: int) (pairs: struct (int * int) seq) : ConfusionTable =
        let targets, predictions, right =
            Array.zeroCreate labels, Array.zeroCreate labels, Array.zeroCreate labels

        let cells = Dictionary<struct (int * int), int>()

        for struct (target, predicted) as pair in pairs do
            if target < 0 || target >= labels || predicted < 0 || predicted >= labels then
                invalidArg (nameof pairs) $"expected labels of 0 … {labels - 1}, found {target} and {predicted}"

            targets[target] <- targets[target] + 1
            predictions[predicted] <- predictions[predicted] + 1

            if target = predicted then
                right[target] <- right[target] + 1

            let _, count = cells.TryGetValue pair
            cells[pair] <- count + 1

        { Targets = targets
          Predictions = predictions
          Right = right
          Cells = cells |> Seq.map (fun cell -> cell.Key, cell.Value) |> Map.ofSeq }

    let private ratio (part: float) (whole: float) =
        if whole = 0.0 then 0.0 else part / whole

    /// <summary>The share of right rows; 0 where there are none.</summary>
    let accuracy (table: ConfusionTable) : float =
        ratio (float (Array.sum table.Right)) (float table.Rows)

    /// <summary>Of the rows predicted to be of a label, the share that are; 0 where none is predicted.</summary>
    let precision (label: int) (table: ConfusionTable) : float =
        ratio (float table.Right[label]) (float table.Predictions[label])

    /// <summary>Of the rows of a label, the share that are predicted; 0 where there are none.</summary>
    let recall (label: int) (table: ConfusionTable) : float =
        ratio (float table.Right[label]) (float table.Targets[label])

    /// <summary>2 tp / (2 tp + fp + fn) of one label, the harmonic mean of precision and recall; 0 where it never occurs.</summary>
    let f1 (label: int) (table: ConfusionTable) : float =
        ratio (2.0 * float table.Right[label]) (float (table.Targets[label] + table.Predictions[label]))

    /// <summary>The mean of F1 over the labels that occur, as a target or as a prediction (as scikit-learn does).</summary>
    let macroF1 (table: ConfusionTable) : float =
        let values =
            [| for label in 0 .. table.Labels - 1 do
                   if table.Targets[label] + table.Predictions[label] > 0 then
                       f1 label table |]

        if values.Length = 0 then 0.0 else Array.average values

    /// <summary>
    /// Matthews' correlation; for more than two labels R_K (Gorodkin 2004): (c·s − Σ pₖtₖ) / √((s² − Σ pₖ²)(s² − Σ tₖ²)) with c
    /// right rows of s, tₖ rows of label k and pₖ predictions of it. 0 where all rows or all predictions are of one label.
    /// </summary>
    let matthews (table: ConfusionTable) : float =
        let t, p = Array.map float table.Targets, Array.map float table.Predictions
        let s, c = float table.Rows, float (Array.sum table.Right)
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
