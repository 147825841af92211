namespace Reft;

/// <summary>A row that cannot be used.</summary>
/// <param name="Row">Which row of the file it is, from 1.</param>
/// <param name="Field">The field, if it is one field's fault.</param>
/// <param name="Message">Where it is, what was expected and what was found.</param>
public sealed record DataProblem(long Row, string? Field, string Message);

/// <summary>How long rows are, in tokens.</summary>
/// <param name="Shortest">The shortest row.</param>
/// <param name="Median">Half of the rows are as long or shorter.</param>
/// <param name="NinetyPercent">So are nine of ten.</param>
/// <param name="NinetyNinePercent">So are 99 of 100.</param>
/// <param name="Longest">The longest row.</param>
public sealed record RowLengths(int Shortest, int Median, int NinetyPercent, int NinetyNinePercent, int Longest);

/// <summary>What a file of rows holds. Tokens are null where it was read without a model.</summary>
public sealed record DataReport
{
    /// <summary>The rows that were read, bad ones included.</summary>
    public required long Rows { get; init; }

    /// <summary>Those that cannot be used.</summary>
    public required long BadRows { get; init; }

    /// <summary>The first of the bad rows, and what is wrong with the file itself.</summary>
    public required IReadOnlyList<DataProblem> Problems { get; init; }

    /// <summary>Whether the file was read to its end; a quote or a bracket that is never closed ends it early.</summary>
    public required bool IsComplete { get; init; }

    /// <summary>Tokens of the good rows, before they are cut.</summary>
    public long? Tokens { get; init; }

    /// <summary>Tokens that are learnt or scored, in what is left of rows that are cut.</summary>
    public long? ScoredTokens { get; init; }

    /// <summary>Good rows that are longer than the longest allowed, and are cut.</summary>
    public long? TruncatedRows { get; init; }

    /// <summary>Good rows in which nothing is left to learn or to score: training skips them.</summary>
    public long? UnscoredRows { get; init; }

    /// <summary>How long good rows are, before they are cut; null where there is none.</summary>
    public RowLengths? Lengths { get; init; }

    /// <summary>How many rows have each label, of rows that are labelled.</summary>
    public IReadOnlyDictionary<string, long> Labels { get; init; } = new Dictionary<string, long>();

    /// <summary>Whether all rows can be used.</summary>
    public bool IsGood => IsComplete && BadRows == 0;
}
