namespace Reft;

/// <summary>How an interval is read off a bootstrap distribution.</summary>
public enum BootstrapKind
{
    /// <summary>Its quantiles.</summary>
    Percentile,

    /// <summary>
    /// BCa: quantiles moved by the bias and the acceleration (Efron, JASA 1987). It costs a further evaluation of the metric for
    /// each row.
    /// </summary>
    BiasCorrected,
}

/// <summary>How rows are drawn again.</summary>
public sealed record BootstrapOptions
{
    /// <summary>How often.</summary>
    public int Resamples { get; init; } = 10_000;

    /// <summary>The level of intervals, between 0 and 1.</summary>
    public double Level { get; init; } = 0.95;

    /// <summary>How an interval is read off.</summary>
    public BootstrapKind Kind { get; init; } = BootstrapKind.Percentile;

    /// <summary>The seed of the draws: the same rows and the same seed give the same interval.</summary>
    public long Seed { get; init; } = 42;

    internal Core.Resampling ToCore() =>
        new(
            Resamples,
            Level,
            Kind == BootstrapKind.BiasCorrected ? Core.BootstrapForm.BiasCorrected : Core.BootstrapForm.Percentile,
            Seed);
}
