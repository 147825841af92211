using Reft.Internal;

namespace Reft;

/// <summary>Reading a whole file of rows and telling what is wrong with it, rather than stopping at the first bad row.</summary>
public static class DataValidation
{
    /// <summary>Reads all rows of a file; one is in memory at a time.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How it is read.</param>
    /// <param name="validation">What its rows are held against.</param>
    /// <param name="cancellationToken">Ends it before its next row, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="FileNotFoundException">There is no such file, or no such model.</exception>
    /// <exception cref="InvalidDataException">The model's configuration or tokenizer cannot be read.</exception>
    /// <exception cref="ArgumentException">Labels or lengths that no model can have.</exception>
    public static DataReport Check(
        string path,
        DataOptions? options = null,
        ValidationOptions? validation = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        options ??= new DataOptions();
        var file = RecordFile.Open(path, options);
        var tally = new DataTally(options, validation ?? new ValidationOptions());
        using var records = file.Scan().GetEnumerator();
        try
        {
            while (records.MoveNext())
            {
                cancellationToken.ThrowIfCancellationRequested();
                tally.Add(file, records.Current);
            }
        }
        catch (InvalidDataException e)
        {
            return tally.Broken(e);
        }

        return tally.Report();
    }
}
