namespace Reft.Reproduction;

/// <summary>How much is run.</summary>
internal enum Scope
{
    /// <summary>Seconds, on invented rows: whether everything works.</summary>
    Smoke,

    /// <summary>All questions, at a size that two cores finish in an hour or so.</summary>
    Subset,

    /// <summary>More rows, rates and seeds: a day.</summary>
    Full,
}
