namespace Reft;

/// <summary>What a file of rows is written in.</summary>
public enum DataFormat
{
    /// <summary>One JSON object a line. Blank lines are passed over.</summary>
    JsonLines,

    /// <summary>One JSON array of objects.</summary>
    Json,

    /// <summary>Comma-separated values as in RFC 4180, UTF-8, with the columns' names in the first record.</summary>
    Csv,

    /// <summary>The same with tabs in place of commas.</summary>
    Tsv,

    /// <summary>Apache Parquet.</summary>
    Parquet,
}
