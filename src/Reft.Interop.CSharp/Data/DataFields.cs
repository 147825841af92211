namespace Reft;

/// <summary>
/// Which column of a file stands for which field of a row. A field that is not named has the column of its own name, unless
/// that column was given to another.
/// </summary>
public sealed class DataFields
{
    private static readonly string[] Known =
    [
        "prompt", "completion", "text", "text_pair", "input_ids", "labels", "prompt_length", "token_type_ids", "label",
        "subspaces", "chosen", "rejected", "messages", "tools", "system", "instruction", "input", "output", "choices", "answer",
    ];

    private readonly Dictionary<string, string> _columns;

    private DataFields(Dictionary<string, string> columns) => _columns = columns;

    /// <summary>Each field has the column of its name.</summary>
    public static DataFields Standard { get; } = new(new(StringComparer.Ordinal));

    /// <summary>The columns that were named, by field.</summary>
    public IReadOnlyDictionary<string, string> Columns => _columns;

    /// <summary>The same with a column for a field.</summary>
    /// <param name="field">
    /// <c>prompt</c>, <c>completion</c>, <c>text</c>, <c>text_pair</c>, <c>input_ids</c>, <c>labels</c>, <c>prompt_length</c>,
    /// <c>token_type_ids</c>, <c>label</c>, <c>subspaces</c>, <c>messages</c>, <c>tools</c>, <c>system</c>, <c>chosen</c> and <c>rejected</c>, <c>choices</c> and <c>answer</c>, or Alpaca's
    /// <c>instruction</c>, <c>input</c> and <c>output</c>.
    /// </param>
    /// <param name="column">The name of a column, or of a field of JSON objects.</param>
    /// <exception cref="ArgumentException">There is no such field, or it has a column already.</exception>
    public DataFields With(string field, string column)
    {
        ArgumentException.ThrowIfNullOrEmpty(column);
        if (!Known.Contains(field, StringComparer.Ordinal))
        {
            throw new ArgumentException($"there is no field '{field}': expected one of {string.Join(", ", Known)}", nameof(field));
        }

        return _columns.TryGetValue(field, out var other)
            ? throw new ArgumentException($"the field '{field}' has the column '{other}' already, found '{column}' too", nameof(field))
            : new(new Dictionary<string, string>(_columns, StringComparer.Ordinal) { [field] = column });
    }

    /// <summary>Reads <c>prompt=question,completion=answer</c>: fields on the left, columns on the right.</summary>
    /// <exception cref="ArgumentException">It is not of this form, or there is no such field.</exception>
    public static DataFields Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Split(',').Aggregate(Standard, (fields, pair) =>
            pair.IndexOf('=', StringComparison.Ordinal) is > 0 and var middle && middle < pair.Length - 1
                ? fields.With(pair[..middle].Trim(), pair[(middle + 1)..].Trim())
                : throw new ArgumentException($"expected FIELD=COLUMN,…, found '{pair}'", nameof(text)));
    }

    /// <summary>As <see cref="Parse"/> reads it; empty where no column was named.</summary>
    public override string ToString() => string.Join(',', _columns.Select(pair => $"{pair.Key}={pair.Value}"));

    /// <summary>The column of a field; null where it has none.</summary>
    internal string? ColumnOf(string field) =>
        _columns.TryGetValue(field, out var column) ? column
        : _columns.ContainsValue(field) ? null
        : field;

    /// <summary>Whether a row cannot do without the field's column.</summary>
    internal bool IsNamed(string field) => _columns.ContainsKey(field);

    /// <summary>Whether a column can stand for a field.</summary>
    internal bool Uses(string column) => _columns.ContainsValue(column) || Known.Contains(column, StringComparer.Ordinal);
}
