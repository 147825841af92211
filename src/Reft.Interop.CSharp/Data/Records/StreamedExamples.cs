using System.Collections;
using System.Runtime.CompilerServices;

namespace Reft.Internal;

/// <summary>The examples of rows that stay on the disk: each is made, from its row, when it is asked for.</summary>
internal sealed class StreamedExamples : Core.IMeasuredExamples
{
    private readonly ConditionalWeakTable<Core.Example, object> _made = [];
    private readonly Func<int, Core.Example> _make;
    private readonly List<int> _rows = [];
    private readonly List<int> _lengths = [];

    private StreamedExamples(Func<int, Core.Example> make) => _make = make;

    /// <inheritdoc/>
    public IReadOnlyList<int> Lengths => _lengths;

    /// <inheritdoc/>
    public int Count => _rows.Count;

    /// <inheritdoc/>
    public Core.Example this[int index]
    {
        get
        {
            var example = _make(_rows[index]);
            _made.Add(example, this);
            return example;
        }
    }

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

    /// <summary>Whether an example was made here.</summary>
    public bool Made(Core.Example example) => _made.TryGetValue(example, out _);

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
