using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Reft.Internal;

/// <summary>Tells whoever listens of a generation, when it is disposed of.</summary>
/// <param name="family">The model's family.</param>
/// <param name="prompts">The number of prompts.</param>
/// <param name="logger">The application's.</param>
internal sealed class GenerationWatch(string family, int prompts, ILogger logger) : IDisposable
{
    private readonly Activity? _activity = ReftTelemetry.Source.StartActivity("reft.generate");
    private readonly long _start = Stopwatch.GetTimestamp();
    private int _tokens;

    /// <summary>Counts tokens.</summary>
    public void Add(int tokens) => _tokens += tokens;

    public void Dispose()
    {
        var seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        var tag = new KeyValuePair<string, object?>("reft.model.family", family);
        ReftTelemetry.GeneratedTokens.Add(_tokens, tag);
        ReftTelemetry.GenerationDuration.Record(seconds, tag);
        _activity?.SetTag(tag.Key, tag.Value);
        _activity?.SetTag("reft.generation.prompts", prompts);
        _activity?.SetTag("reft.generation.tokens", _tokens);
        _activity?.Dispose();
        logger.Generated(_tokens, prompts, seconds);
    }
}
