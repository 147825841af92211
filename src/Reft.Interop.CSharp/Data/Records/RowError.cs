namespace Reft.Internal;

/// <summary>Errors of rows that are not as they must be: they say which field it is, for reports of many of them.</summary>
internal static class RowError
{
    private const string FieldKey = "Reft.Field";

    /// <summary>An error of a row.</summary>
    /// <param name="source">Where the row comes from, e.g. <c>data.jsonl:12</c>.</param>
    /// <param name="field">The field, if it is one field's fault.</param>
    /// <param name="problem">What was expected and what was found.</param>
    /// <param name="inner">What it was found by.</param>
    public static InvalidDataException Of(string source, string? field, string problem, Exception? inner = null) =>
        new(field is null ? $"{source}: {problem}" : $"{source}: field '{field}': {problem}", inner)
        {
            Data = { [FieldKey] = field ?? "" },
        };

    /// <summary>The field that an error of a row is about; null where it is none.</summary>
    public static string? FieldOf(Exception error) => error.Data[FieldKey] is string { Length: > 0 } field ? field : null;

    /// <summary>Whether an error says which row it is.</summary>
    public static bool IsOne(Exception error) => error.Data.Contains(FieldKey);
}
