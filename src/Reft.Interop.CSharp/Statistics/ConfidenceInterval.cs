using System.Globalization;

namespace Reft;

/// <summary>An estimate with an interval around it.</summary>
/// <param name="Low">The lower bound.</param>
/// <param name="High">The upper bound.</param>
/// <param name="Level">How often such an interval contains the true value, e.g. 0.95.</param>
/// <param name="Estimate">What the rows, or the runs, give.</param>
public sealed record ConfidenceInterval(double Low, double High, double Level, double Estimate)
{
    /// <summary>One line, e.g. <c>0.8120 [0.7860, 0.8370]</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Estimate:0.0000} [{Low:0.0000}, {High:0.0000}]");

    internal static ConfidenceInterval Of(Core.MetricInterval interval) =>
        new(interval.Low, interval.High, interval.Level, interval.Estimate);
}
