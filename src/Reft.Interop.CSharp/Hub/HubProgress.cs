namespace Reft;

/// <summary>How far a download is. Files that the cache already holds are not counted.</summary>
public sealed record HubProgress
{
    /// <summary>The repository, e.g. <c>org/name</c>.</summary>
    public required string Repository { get; init; }

    /// <summary>The file that the report is about; empty where it is about none.</summary>
    public string File { get; init; } = "";

    /// <summary>Bytes that are there, of all files, those of an earlier run that was resumed included.</summary>
    public long Bytes { get; init; }

    /// <summary>Bytes of all files whose size is known so far. It grows once, when a list of shards has been read.</summary>
    public long TotalBytes { get; init; }

    /// <summary>Files that are complete.</summary>
    public int Files { get; init; }

    /// <summary>Files to download that are known so far.</summary>
    public int TotalFiles { get; init; }

    /// <summary>News for a person, e.g. that the hub cannot be reached and the cache's copy is used; null usually.</summary>
    public string? Notice { get; init; }
}
