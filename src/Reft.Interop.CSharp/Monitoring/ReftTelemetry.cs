using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;

namespace Reft;

/// <summary>
/// The names under which this library reports activities and metrics in .NET's own way, so that OpenTelemetry and others
/// can listen: <c>AddSource(ReftTelemetry.SourceName)</c>, <c>AddMeter(ReftTelemetry.MeterName)</c>. Where nobody listens,
/// they cost nothing.
/// </summary>
public static class ReftTelemetry
{
    /// <summary>The name of the <see cref="ActivitySource"/>: activities <c>reft.model.load</c>, <c>reft.train</c>, <c>reft.generate</c>.</summary>
    public const string SourceName = "Reft";

    /// <summary>The name of the <see cref="Meter"/>.</summary>
    public const string MeterName = "Reft";

    /// <summary>The version of this library.</summary>
    internal static string Version { get; } =
        typeof(ReftTelemetry).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    internal static ActivitySource Source { get; } = new(SourceName, Version);

    internal static Meter Meter { get; } = new(MeterName, Version);

    internal static Histogram<double> StepDuration { get; } =
        Meter.CreateHistogram<double>("reft.training.step.duration", "s", "The time of an optimizer step, evaluations not counted.");

    internal static Counter<long> TrainedTokens { get; } =
        Meter.CreateCounter<long>("reft.training.tokens", "{token}", "Tokens read in training, without padding.");

    internal static Gauge<double> Loss { get; } =
        Meter.CreateGauge<double>("reft.training.loss", description: "The mean loss of the last step.");

    internal static Gauge<double> LearningRate { get; } =
        Meter.CreateGauge<double>("reft.training.learning_rate", description: "The learning rate of the last step.");

    internal static Gauge<double> GradientNorm { get; } =
        Meter.CreateGauge<double>("reft.training.gradient_norm", description: "The norm of the last step's gradient, before it was scaled down.");

    internal static Gauge<double> Evaluated { get; } =
        Meter.CreateGauge<double>("reft.evaluation.result", description: "The last value of the metric that the tag 'metric' names.");

    internal static Counter<long> GeneratedTokens { get; } =
        Meter.CreateCounter<long>("reft.generation.tokens", "{token}", "Tokens that were generated.");

    internal static Histogram<double> GenerationDuration { get; } =
        Meter.CreateHistogram<double>("reft.generation.duration", "s", "The time of generating for a batch of prompts.");

    internal static Histogram<double> LoadDuration { get; } =
        Meter.CreateHistogram<double>("reft.model.load.duration", "s", "The time of loading a model.");
}
