namespace Reft.Reproduction;

/// <summary>What a run found.</summary>
internal sealed record RunResult
{
    /// <summary>Scores, counts and seconds by name, e.g. <c>test_accuracy</c>. Numbers that are not finite are left out.</summary>
    public IReadOnlyDictionary<string, double> Numbers { get; init; } = new Dictionary<string, double>();

    /// <summary>Texts by name, e.g. a generation.</summary>
    public IReadOnlyDictionary<string, string> Texts { get; init; } = new Dictionary<string, string>();

    /// <summary>Which rows were right, for paired tests: see <see cref="PackedRows"/>.</summary>
    public string? Rows { get; init; }
}

/// <summary>A run with its result.</summary>
/// <param name="Key">What it is.</param>
/// <param name="Result">What it found.</param>
/// <param name="Seconds">The time of its process, loading included.</param>
/// <param name="PeakMegabytes">The largest resident set of its process, mapped weights and the libraries included; MB of 10⁶ bytes.</param>
/// <param name="Machine">What it ran on.</param>
/// <param name="Fingerprint">A hash of the key, the versions of code and data, and the model's files.</param>
internal sealed record FinishedRun(
    RunKey Key, RunResult Result, double Seconds, double PeakMegabytes, string Machine, string Fingerprint)
{
    /// <summary>The name of the number that a run has whose training diverged, and of the text that says how; it has no scores.</summary>
    public const string DivergedName = "diverged";

    /// <summary>Whether its training diverged.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool Diverged => Result.Numbers.ContainsKey(DivergedName);

    /// <summary>A number of the result; not a number where it has none of that name.</summary>
    public double this[string name] => Result.Numbers.TryGetValue(name, out var value) ? value : double.NaN;
}
