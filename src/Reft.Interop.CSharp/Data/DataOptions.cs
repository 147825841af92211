namespace Reft;

/// <summary>How rows are read from a file.</summary>
public sealed record DataOptions
{
    /// <summary>
    /// The file's format. Where it is not given, its name tells: <c>.json</c>, <c>.csv</c>, <c>.tsv</c>, <c>.parquet</c>, and
    /// JSON Lines for any other; a <c>.json</c> file that begins with an object is JSON Lines too.
    /// </summary>
    public DataFormat? Format { get; init; }

    /// <summary>Which column stands for which field.</summary>
    public DataFields Fields { get; init; } = DataFields.Standard;

    /// <summary>What makes the text of a row from its columns; without it, the fields of a row are its text.</summary>
    public RowTemplate? Template { get; init; }

    /// <summary>
    /// Whether rows stay on the disk: each is read when it is asked for, and only where it begins is kept, 16 to 48 bytes a
    /// row. The file must not change meanwhile, which is noticed and refused. Rows of Parquet are unpacked into a temporary
    /// file (in <c>TMPDIR</c>, else in <c>/var/tmp</c>), which is gone when the process is.
    /// </summary>
    public bool Stream { get; init; }

    /// <summary>Columns besides the known fields that are read of a file whose columns are read apart.</summary>
    internal IReadOnlyList<string> AlsoRead { get; init; } = [];
}
