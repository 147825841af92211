using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using TorchSharp;

namespace Reft.Internal;

/// <summary>What a log says of a run before its first step.</summary>
internal static class TrainingHeader
{
    // Written apart, or no fact about the training.
    private static readonly string[] LeftOut = [nameof(TrainingOptions.EvaluationData), nameof(TrainingOptions.Logging)];

    public static TrainingLogHeader Of(TrainingSubject subject, TrainingOptions options, TrainingSet set) =>
        new()
        {
            Started = DateTimeOffset.UtcNow,
            Model = Model(subject),
            Spec = [.. subject.Spec.Select(placement => PlacementDescription.Of(placement).ToString())],
            Options = Options(options),
            Data = Facts(
                ("objective", set.Trained.Objective),
                ("rows", set.Examples.Count),
                ("skipped_rows", set.Skipped),
                ("evaluation_rows", set.Evaluation.Count),
                ("skipped_evaluation_rows", set.SkippedEvaluation),
                ("trained_parameters", subject.Start.TrainableCount - subject.HeadParameters),
                ("head_parameters", subject.HeadParameters)),
            Versions = Facts(
                ("reft", ReftTelemetry.Version),
                ("torchsharp", typeof(torch).Assembly.GetName().Version?.ToString()),
                ("libtorch", torch.__version__),
                ("dotnet", RuntimeInformation.FrameworkDescription),
                ("system", RuntimeInformation.OSDescription),
                ("threads", torch.get_num_threads())),
        };

    private static Dictionary<string, string> Model(TrainingSubject subject)
    {
        var model = subject.Model;
        var facts = ModelFacts.Of(model);
        return Facts(
            ("folder", model.Folder),
            ("family", facts.Family),
            ("fingerprint", model.Fingerprint),
            ("parameters", facts.ParameterCount),
            ("layers", facts.LayerCount),
            ("hidden_size", facts.HiddenSize),
            ("dtype", facts.Dtype),
            ("weights", facts.Weights),
            ("device", facts.Device),
            ("tuned_by", subject.Tuning));
    }

    private static Dictionary<string, string> Options(TrainingOptions options) =>
        Facts([
            .. typeof(TrainingOptions)
                .GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .Where(property => !LeftOut.Contains(property.Name))
                .Select(property => (
                    JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name),
                    property.GetValue(options) is TrainingPenalty penalty ? penalty.Weight : property.GetValue(options))),
        ]);

    private static Dictionary<string, string> Facts(params (string Name, object? Value)[] facts) =>
        facts
            .Where(fact => fact.Value is not null)
            .ToDictionary(fact => fact.Name, fact => Convert.ToString(fact.Value, CultureInfo.InvariantCulture) ?? "");
}
