namespace Reft.Core

open System

/// <summary>How predictions are put into bins by their confidence.</summary>
[<RequireQualifiedAccess>]
type Binning =
    /// Bins of [0, 1] that are equally wide.
    | EqualWidth
    /// Bins with equally many rows, up to one.
    | EqualMass

/// <summary>Rows of similar confidence.</summary>
[<Struct>]
type CalibrationBin =
    {
        /// The least confidence of the bin; of its rows, where bins have equally many.
        Low: float
        /// The greatest.
        High: float
        /// How many rows.
        Rows: int
        /// Their mean confidence; 0 where there is none.
        Confidence: float
        /// The share of them that are right; 0 where there is none.
        Accuracy: float
    }

/// <summary>Whether probabilities mean what they say.</summary>
[<RequireQualifiedAccess>]
module Reliability =

    let private bin low high (rows: struct (float * bool)[]) =
        let mean value =
            if rows.Length = 0 then 0.0 else Array.averageBy value rows

        { Low = low
          High = high
          Rows = rows.Length
          Confidence = mean (fun (struct (confidence, _)) -> confidence)
          Accuracy = mean (fun (struct (_, right)) -> if right then 1.0 else 0.0) }

    /// <summary>The reliability table: confidence and accuracy, bin by bin, in ascending order.</summary>
    /// <param name="binning">How bins are made.</param>
    /// <param name="bins">How many.</param>
    /// <param name="rows">The probability of what was predicted, and whether it was right, row by row.</param>
    /// <exception cref="T:System.ArgumentException">
    /// There is no row or no bin, or a confidence is not in [0, 1].
    /// </exception>
    let table (binning: Binning) (bins: int) (rows: struct (float * bool)[]) : CalibrationBin[] =
        if bins < 1 then
            invalidArg (nameof bins) $"expected one bin or more, found {bins}"

        if rows.Length = 0 then
            invalidArg (nameof rows) "expected at least one row, found none"

        for struct (confidence, _) in rows do
            if not (confidence >= 0.0 && confidence <= 1.0 + 1e-6) then
                invalidArg (nameof rows) $"expected confidences of 0 … 1, found {confidence}"

        match binning with
        | Binning.EqualWidth ->
            // A bin holds its upper bound, as in Guo et al. (2017).
            let place (struct (confidence, _)) =
                Math.Clamp(int (ceil (confidence * float bins)) - 1, 0, bins - 1)

            let groups = rows |> Array.groupBy place |> Map.ofArray

            Array.init bins (fun i ->
                groups
                |> Map.tryFind i
                |> Option.defaultValue [||]
                |> bin (float i / float bins) (float (i + 1) / float bins))
        | Binning.EqualMass ->
            rows
            |> Array.sortBy (fun (struct (confidence, _)) -> confidence)
            |> Array.splitInto bins
            |> Array.map (fun part ->
                let struct (low, _), struct (high, _) = part[0], part[part.Length - 1]
                bin low high part)

    /// <summary>The expected calibration error: Σ (rows of the bin / rows) · |accuracy − confidence|.</summary>
    let expectedError (table: CalibrationBin[]) : float =
        let rows = table |> Array.sumBy (fun bin -> float bin.Rows)

        table
        |> Array.sumBy (fun bin -> float bin.Rows / rows * abs (bin.Accuracy - bin.Confidence))

    let private checkLabels (numbers: float[][]) (labels: int[]) =
        if numbers.Length = 0 || numbers.Length <> labels.Length then
            invalidArg
                (nameof labels)
                $"expected a label for each row and at least one row, found {numbers.Length} rows and {labels.Length} labels"

        labels
        |> Array.iteri (fun i label ->
            if label < 0 || label >= numbers[i].Length then
                invalidArg (nameof labels) $"expected labels of 0 … {numbers[i].Length - 1}, found {label} in row {i}")

    /// <summary>
    /// Brier's score: the mean of Σₖ (pₖ − yₖ)², over all labels of a row. 0 is perfect and 2 the worst; of two labels it is twice
    /// the squared error of one of them.
    /// </summary>
    /// <param name="probabilities">The probability of each label, row by row.</param>
    /// <param name="labels">The right label of each row.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, or a label is out of range.</exception>
    let brier (probabilities: float[][]) (labels: int[]) : float =
        checkLabels probabilities labels

        Array.map2
            (fun (row: float[]) label ->
                row
                |> Seq.mapi (fun k p -> let d = p - (if k = label then 1.0 else 0.0) in d * d)
                |> Seq.sum)
            probabilities
            labels
        |> Array.average

    /// <summary>The mean of −log p of the right label.</summary>
    /// <exception cref="T:System.ArgumentException">There is no row, or a label is out of range.</exception>
    let negativeLogLikelihood (probabilities: float[][]) (labels: int[]) : float =
        checkLabels probabilities labels

        Array.map2 (fun (row: float[]) label -> -(log row[label])) probabilities labels
        |> Array.average

    /// <summary>Scores as probabilities at a temperature: softmax(z / T).</summary>
    let probabilities (temperature: float) (scores: float[]) : float[] =
        let largest = Array.max scores
        let parts = scores |> Array.map (fun z -> exp ((z - largest) / temperature))
        let sum = Array.sum parts
        parts |> Array.map (fun part -> part / sum)

    /// <summary>The range in which a temperature is sought.</summary>
    let temperatureRange: struct (float * float) = struct (0.01, 100.0)

    /// <summary>
    /// The temperature with the least negative log-likelihood of held-out rows (Guo et al. 2017). The loss is convex in 1 / T, so
    /// that the root of its derivative, mean(E[z] − z of the label), is found by bisection; an end of
    /// <see cref="P:Reft.Core.ReliabilityModule.temperatureRange"/> where there is none inside. 1 where no row tells labels apart,
    /// as every temperature then gives the same.
    /// </summary>
    /// <param name="scores">Logits, or log-probabilities, of each label, row by row.</param>
    /// <param name="labels">The right label of each row.</param>
    /// <exception cref="T:System.ArgumentException">There is no row, a label is out of range, or a score is not finite.</exception>
    let temperature (scores: float[][]) (labels: int[]) : float =
        checkLabels scores labels

        if scores |> Array.exists (Array.exists (Double.IsFinite >> not)) then
            invalidArg (nameof scores) "expected finite scores"

        let slope temperature =
            Array.map2
                (fun (row: float[]) label ->
                    Array.fold2 (fun sum p z -> sum + p * z) 0.0 (probabilities temperature row) row
                    - row[label])
                scores
                labels
            |> Array.average

        // In the logarithm of T: the slope in 1 / T falls as T grows.
        let rec bisect steps low high =
            let middle = 0.5 * (low + high)

            if steps = 0 then
                exp middle
            elif slope (exp middle) > 0.0 then
                bisect (steps - 1) middle high
            else
                bisect (steps - 1) low middle

        let struct (least, most) = temperatureRange

        let flat (row: float[]) =
            row |> Array.forall (fun value -> value = row[0])

        if Array.forall flat scores then 1.0
        elif slope least <= 0.0 then least
        elif slope most >= 0.0 then most
        else bisect 100 (log least) (log most)
