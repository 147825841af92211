namespace Reft;

/// <summary>What is collected of a run, and how.</summary>
public sealed record CollectOptions
{
    /// <summary>What the run is called by the interventions that read it.</summary>
    public string Name { get; init; } = CollectedActivations.DefaultName;

    /// <summary>The phase in which positions count: the prompt, or the tokens after it in rows that have such.</summary>
    public InterventionPhase Phase { get; init; } = InterventionPhase.Prompt;

    /// <summary>Whether to read the base model itself, without what is attached.</summary>
    public bool BaseModel { get; init; }

    /// <summary>Rows that are computed together.</summary>
    public int BatchSize { get; init; } = 8;
}
