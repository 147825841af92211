using System.Collections;

namespace Reft.Internal;

/// <summary>The examples of rows that stay on the disk: each is made, from its row, when it is asked for.</summary>
internal sealed class StreamedExamples : Core.IMeasuredExamples
{
    private readonly Func<int, Core.Example> _make;
    private readonly List<int> _rows = [];
    private readonly List<int> _lengths = [];

    private StreamedExamples(Func<int, Core.Example> make) => _make = make;

    /// <inheritdoc/>
    public IReadOnlyList<int> Lengths => _lengths;

    /// <inheritdoc/>
    public int Count => _rows.Count;

    /// <inheritdoc/>
    public Core.Example this[int index] => _make(_rows[index]);

    /// <summary>Makes each once, which checks it, and remembers those that have something to learn from.</summary>
    /// <param name="count">The number of rows.</param>
    /// <param name="make">The number of a row → its example, the same each time.</param>
    public static StreamedExamples Of(int count, Func<int, Core.Example> make)
    {
        var examples = new StreamedExamples(make);
        for (var row = 0; row < count; row++)
        {
            var example = make(row);
            if (example.ScoredCount > 0)
            {
                examples._rows.Add(row);
                examples._lengths.Add(example.Ids.Length);
            }
        }

        return examples;
    }

    /// <inheritdoc/>
    public IEnumerator<Core.Example> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
