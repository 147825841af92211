using Microsoft.Extensions.Logging;

namespace Reft.Internal;

/// <summary>What is said to an application's logger.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(1, LogLevel.Information, "Loaded the {Family} model of {Folder}, {Parameters} parameters, in {Seconds:0.00} s")]
    public static partial void Loaded(this ILogger logger, string family, string folder, long parameters, double seconds);

    [LoggerMessage(2, LogLevel.Information, "Training {Parameters} parameters on {Rows} rows, {HeldOut} held out, after step {Step}")]
    public static partial void TrainingBegins(this ILogger logger, long parameters, int rows, int heldOut, int step);

    [LoggerMessage(3, LogLevel.Debug, "Step {Step}/{TotalSteps}: loss {Loss}, learning rate {LearningRate}, gradient norm {GradientNorm}, {TokensPerSecond:0} tokens/s")]
    public static partial void Step(
        this ILogger logger, int step, int totalSteps, double loss, double learningRate, double gradientNorm, double tokensPerSecond);

    [LoggerMessage(4, LogLevel.Information, "Step {Step}/{TotalSteps}: held-out {Metric} {Value}")]
    public static partial void Evaluated(this ILogger logger, int step, int totalSteps, string metric, double value);

    [LoggerMessage(5, LogLevel.Information, "Training ended ({Reason}) after step {Step}, in {Seconds:0.0} s")]
    public static partial void TrainingEnds(this ILogger logger, string reason, int step, double seconds);

    [LoggerMessage(6, LogLevel.Error, "Training failed after step {Step}")]
    public static partial void TrainingFails(this ILogger logger, Exception exception, int step);

    [LoggerMessage(7, LogLevel.Warning, "The training log ends at step {Step}, because it cannot be written: {Problem}")]
    public static partial void LogFails(this ILogger logger, int step, string problem);

    [LoggerMessage(8, LogLevel.Debug, "Generated {Tokens} tokens for {Prompts} prompts in {Seconds:0.00} s")]
    public static partial void Generated(this ILogger logger, int tokens, int prompts, double seconds);
}
