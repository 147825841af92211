namespace Reft;

/// <summary>What a run is: all that one needs to know to run it again.</summary>
public sealed record TrainingLogHeader
{
    /// <summary>When it began.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The base model: its folder, family, fingerprint, shape, numbers and device.</summary>
    public required IReadOnlyDictionary<string, string> Model { get; init; }

    /// <summary>What is trained: one line for each placement.</summary>
    public required IReadOnlyList<string> Spec { get; init; }

    /// <summary>The options of the training, by their names in files, e.g. <c>learning_rate</c>.</summary>
    public required IReadOnlyDictionary<string, string> Options { get; init; }

    /// <summary>The numbers of rows and of trained parameters.</summary>
    public required IReadOnlyDictionary<string, string> Data { get; init; }

    /// <summary>The versions of this library, of libtorch, of .NET and of the system, and the number of threads.</summary>
    public required IReadOnlyDictionary<string, string> Versions { get; init; }
}
