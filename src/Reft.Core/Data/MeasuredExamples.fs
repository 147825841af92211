namespace Reft.Core

open System.Collections.Generic

/// <summary>
/// Examples that are made when they are asked for, as those of a dataset larger than memory, and whose lengths are known
/// without making them. Each has a scored token or a label.
/// </summary>
type IMeasuredExamples =
    inherit IReadOnlyList<Example>

    /// <summary>The tokens of each.</summary>
    abstract Lengths: IReadOnlyList<int>
