namespace Reft;

/// <summary>
/// Where and how often a training run is saved, so that it can go on after its process has ended, for whatever reason: bit for
/// bit as if there had been no break, on the same machine.
/// </summary>
/// <param name="Folder">A folder for the checkpoints of one run alone; made if need be.</param>
public sealed record TrainingCheckpoints(string Folder)
{
    /// <summary>
    /// After every so many steps one is saved; besides, one when the run is cancelled and one at its end.
    /// </summary>
    public int Every { get; init; } = 100;

    /// <summary>How many stay; the older ones are removed.</summary>
    public int Keep { get; init; } = 3;

    /// <summary>
    /// Whether to go on with the run that is saved there. Where none is, the run starts afresh. Without it a run that was broken
    /// off is not overwritten: training fails with <see cref="IOException"/>.
    /// </summary>
    public bool Resume { get; init; }

    /// <summary>Told before the first step of a run that goes on, on the training thread.</summary>
    public Action<TrainingResumption>? Resumed { get; init; }
}

/// <summary>From where a training run went on.</summary>
/// <param name="Path">The checkpoint.</param>
/// <param name="Step">The step after which it was saved.</param>
/// <param name="TotalSteps">The steps of the whole run.</param>
/// <param name="Ended">Whether the run was at its end, so that nothing is left to do.</param>
/// <param name="Warnings">
/// What to know: newer checkpoints that are damaged, and what differs about the machine and its libraries.
/// </param>
public sealed record TrainingResumption(string Path, int Step, int TotalSteps, bool Ended, IReadOnlyList<string> Warnings);
