using System.Collections;

namespace Reft.Internal;

/// <summary>What a loss finds in place of its rows where they stay on the disk: to ask for one is refused.</summary>
internal sealed class RowsOnDisk<T> : IReadOnlyList<T>
{
    /// <inheritdoc/>
    public int Count => throw Refusal();

    /// <inheritdoc/>
    public T this[int index] => throw Refusal();

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator() => throw Refusal();

    IEnumerator IEnumerable.GetEnumerator() => throw Refusal();

    private static InvalidOperationException Refusal() =>
        new("this objective reads its rows before the run, and they stay on the disk: read the file without Stream");
}
