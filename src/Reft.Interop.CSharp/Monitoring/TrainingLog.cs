using Reft.Internal;

namespace Reft;

/// <summary>
/// What a training run wrote down. In a file it is one JSON object a line, each with an <c>event</c>: <c>run</c> (the header),
/// <c>step</c>, <c>evaluation</c>, <c>edits</c>, <c>resumed</c>, <c>examples</c>, <c>end</c>. Lines are appended whole and in
/// order, so that a run that was broken off leaves all of its steps.
/// </summary>
public sealed record TrainingLog
{
    /// <summary>What was run; null where the log does not say.</summary>
    public TrainingLogHeader? Header { get; init; }

    /// <summary>One entry per step, with the evaluation and the edits that were measured after it.</summary>
    public IReadOnlyList<TrainingProgress> Steps { get; init; } = [];

    /// <summary>The steps after which the run was resumed.</summary>
    public IReadOnlyList<int> Resumed { get; init; } = [];

    /// <summary>What the model said before and after.</summary>
    public IReadOnlyList<TrainingSample> Samples { get; init; } = [];

    /// <summary>Why the run ended, e.g. <c>completed</c>; null where it was broken off or still goes on.</summary>
    public string? End { get; init; }

    /// <summary>Reads a log. A last line that was cut off in writing is passed over, and so are events that are not known.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A line is not one of a log: the message names the file, the line and the field.</exception>
    public static TrainingLog Read(string path) => TrainingLogReader.Read(path);

    /// <summary>Adds what the model said before and after to the log of a run that has ended.</summary>
    /// <param name="path">The file.</param>
    /// <param name="samples">What it said.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    public static void AppendSamples(string path, IEnumerable<TrainingSample> samples)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"there is no log at {path} to add to", path);
        }

        using var writer = TrainingLogWriter.Open(path, int.MaxValue);
        writer.Samples([.. samples]);
    }
}
