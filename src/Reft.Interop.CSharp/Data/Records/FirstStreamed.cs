using System.Collections;

namespace Reft.Internal;

/// <summary>The first of the rows that stay on the disk.</summary>
internal sealed class FirstStreamed<T>(IReadOnlyList<T> rows, int count) : IReadOnlyList<T>, IStreamedRows
{
    /// <inheritdoc/>
    public int Count => count;

    /// <inheritdoc/>
    public T this[int index] =>
        index < count ? rows[index] : throw new ArgumentOutOfRangeException(nameof(index), index, $"expected less than {count}");

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator() => rows.Take(count).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
