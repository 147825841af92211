namespace Reft;

/// <summary>How predictions are put into bins by their confidence.</summary>
public enum CalibrationBinning
{
    /// <summary>Bins of [0, 1] that are equally wide.</summary>
    EqualWidth,

    /// <summary>Bins with equally many rows, up to one.</summary>
    EqualMass,
}

/// <summary>Rows of similar confidence.</summary>
/// <param name="Low">The least confidence of the bin; of its rows, where bins have equally many.</param>
/// <param name="High">The greatest.</param>
/// <param name="Rows">How many rows.</param>
/// <param name="Confidence">Their mean confidence; 0 where there is none.</param>
/// <param name="Accuracy">The share of them that are right; 0 where there is none.</param>
public sealed record ReliabilityBin(double Low, double High, int Rows, double Confidence, double Accuracy);

/// <summary>A prediction: how likely the model found it, and whether it was right.</summary>
/// <param name="Confidence">The probability of what was predicted.</param>
/// <param name="IsRight">Whether it was right.</param>
public readonly record struct ConfidentPrediction(double Confidence, bool IsRight);

/// <summary>Whether probabilities mean what they say.</summary>
public static class Calibration
{
    /// <summary>The reliability table: confidence and accuracy, bin by bin, in ascending order.</summary>
    /// <param name="predictions">The predictions.</param>
    /// <param name="bins">How many bins; of fewer rows than that, with equal mass, one for each row.</param>
    /// <param name="binning">How bins are made.</param>
    /// <exception cref="ArgumentException">There is no row or no bin, or a confidence is not in [0, 1].</exception>
    public static IReadOnlyList<ReliabilityBin> Table(
        IReadOnlyList<ConfidentPrediction> predictions, int bins = 10, CalibrationBinning binning = CalibrationBinning.EqualWidth) =>
        [.. TableOf(predictions, bins, binning).Select(bin => new ReliabilityBin(bin.Low, bin.High, bin.Rows, bin.Confidence, bin.Accuracy))];

    /// <summary>The expected calibration error: Σ (rows of the bin / rows) · |accuracy − confidence|.</summary>
    /// <inheritdoc cref="Table"/>
    public static double ExpectedError(
        IReadOnlyList<ConfidentPrediction> predictions, int bins = 10, CalibrationBinning binning = CalibrationBinning.EqualWidth) =>
        Core.Reliability.expectedError(TableOf(predictions, bins, binning));

    /// <summary>
    /// Brier's score: the mean of Σ (p − y)² over all labels of a row. 0 is perfect and 2 the worst; of two labels it is twice the
    /// squared error of one of them.
    /// </summary>
    /// <param name="probabilities">The probability of each label, row by row.</param>
    /// <param name="labels">The number of the right label of each row.</param>
    /// <exception cref="ArgumentException">There is no row, or a label is out of range.</exception>
    public static double Brier(IReadOnlyList<IReadOnlyList<double>> probabilities, IReadOnlyList<int> labels) =>
        Core.Reliability.brier(Arrays(probabilities), [.. labels]);

    /// <summary>The mean of −log p of the right label.</summary>
    /// <inheritdoc cref="Brier"/>
    public static double NegativeLogLikelihood(
        IReadOnlyList<IReadOnlyList<double>> probabilities, IReadOnlyList<int> labels) =>
        Core.Reliability.negativeLogLikelihood(Arrays(probabilities), [.. labels]);

    /// <summary>
    /// The temperature T with which softmax(scores / T) has the least negative log-likelihood of held-out rows (Guo et al. 2017),
    /// sought between 0.01 and 100.
    /// </summary>
    /// <param name="scores">Logits, or log-probabilities, of each label, row by row.</param>
    /// <param name="labels">The number of the right label of each row.</param>
    /// <exception cref="ArgumentException">There is no row, a label is out of range, or a score is not finite.</exception>
    public static double FitTemperature(IReadOnlyList<IReadOnlyList<double>> scores, IReadOnlyList<int> labels) =>
        Core.Reliability.temperature(Arrays(scores), [.. labels]);

    /// <summary>Scores as probabilities at a temperature: softmax(scores / T).</summary>
    /// <param name="scores">Logits, or log-probabilities, of each label; at least one.</param>
    /// <param name="temperature">Positive.</param>
    /// <exception cref="ArgumentException">There is no score, or the temperature is not positive.</exception>
    public static IReadOnlyList<double> Probabilities(IReadOnlyList<double> scores, double temperature = 1)
    {
        if (scores.Count == 0)
        {
            throw new ArgumentException("expected at least one score, found none", nameof(scores));
        }

        return temperature > 0
            ? Core.Reliability.probabilities(temperature, [.. scores])
            : throw new ArgumentException($"expected a positive temperature, found {temperature}", nameof(temperature));
    }

    private static Core.CalibrationBin[] TableOf(
        IReadOnlyList<ConfidentPrediction> predictions, int bins, CalibrationBinning binning) =>
        Core.Reliability.table(
            binning == CalibrationBinning.EqualMass ? Core.Binning.EqualMass : Core.Binning.EqualWidth,
            bins,
            [.. predictions.Select(row => (row.Confidence, row.IsRight))]);

    private static double[][] Arrays(IReadOnlyList<IReadOnlyList<double>> rows) => [.. rows.Select(row => row.ToArray())];
}
