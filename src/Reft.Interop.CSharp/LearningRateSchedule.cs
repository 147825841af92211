using System.Globalization;

namespace Reft;

/// <summary>How the learning rate goes after its warmup, by transformers' formulas.</summary>
public sealed record LearningRateSchedule
{
    private LearningRateSchedule(Core.ScheduleShape shape) => Shape = shape;

    /// <summary>It stays.</summary>
    public static LearningRateSchedule Constant { get; } = new(Core.ScheduleShape.Constant);

    /// <summary>It falls to 0 on a line.</summary>
    public static LearningRateSchedule Linear { get; } = new(Core.ScheduleShape.Linear);

    /// <summary>It falls to 0 on half a cosine.</summary>
    public static LearningRateSchedule Cosine { get; } = new(Core.ScheduleShape.Cosine);

    internal Core.ScheduleShape Shape { get; }

    /// <summary>It falls to 0 as (1 − progress) to a power.</summary>
    /// <exception cref="ArgumentException">The power is not a positive number.</exception>
    public static LearningRateSchedule Polynomial(double power) =>
        power > 0 && double.IsFinite(power)
            ? new(Core.ScheduleShape.NewPolynomial(power))
            : throw new ArgumentException($"expected a power > 0, found {power}", nameof(power));

    /// <summary>Its name, as the command line has it.</summary>
    public override string ToString() =>
        Shape is Core.ScheduleShape.Polynomial { power: var power }
            ? string.Create(CultureInfo.InvariantCulture, $"polynomial:{power}")
            : Shape.IsConstant ? "constant"
            : Shape.IsCosine ? "cosine"
            : "linear";
}

/// <summary>What each of the batches of one step weighs.</summary>
public enum AccumulationWeighting
{
    /// <summary>As many as its scored tokens, or labelled rows: together they are one large batch.</summary>
    ByTokens,

    /// <summary>The same as every other: the mean of the batches' means, as in pyreft's trainer.</summary>
    Equal,
}
