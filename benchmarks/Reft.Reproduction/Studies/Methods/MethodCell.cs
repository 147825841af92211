namespace Reft.Reproduction;

/// <summary>The runs of one method on one task: what its seeds reach on the test split, and what its rows say.</summary>
internal sealed class MethodCell
{
    private readonly (int[] Expected, int[] Predicted)[] _rows;
    private readonly int _labels;

    public MethodCell(IReadOnlyList<FinishedRun> runs)
    {
        Runs = runs;
        var unpacked = runs.Select(run => PackedLabels.Unpack(run.Result.Rows!)).ToArray();
        _rows = [.. unpacked.Select(run => (run.Expected, run.Predicted))];
        _labels = unpacked is [var first, ..] ? first.Labels : 0;
    }

    /// <summary>By seed; empty where nothing was run.</summary>
    public IReadOnlyList<FinishedRun> Runs { get; }

    public bool IsEmpty => Runs.Count == 0;

    public Spread Of(string number) => Spread.Of(Runs.Select(run => run[number]));

    /// <summary>For each row of the test split, the share of the seeds that are right.</summary>
    public double[] ShareRight() =>
    [
        .. Enumerable.Range(0, _rows[0].Expected.Length)
            .Select(row => _rows.Average(run => run.Expected[row] == run.Predicted[row] ? 1.0 : 0.0)),
    ];

    /// <summary>The interval of the accuracy, a mean over seeds, by drawing rows of the test split again.</summary>
    public ConfidenceInterval Accuracy() => Bootstrap.Mean(ShareRight());

    /// <summary>The interval of macro-F1, a mean over seeds, by drawing rows of the test split again.</summary>
    public ConfidenceInterval MacroF1() => Bootstrap.Interval(
        [.. Enumerable.Range(0, _rows[0].Expected.Length)],
        rows => _rows.Average(run => MacroF1(rows, run.Expected, run.Predicted)),
        new BootstrapOptions { Resamples = 2000 });

    // As Metrics.F1 defines it: the mean over the labels that occur.
    private double MacroF1(IReadOnlyList<int> rows, int[] expected, int[] predicted)
    {
        var both = new int[_labels];
        var either = new int[_labels];
        foreach (var row in rows)
        {
            either[expected[row]]++;
            either[predicted[row]]++;
            if (expected[row] == predicted[row])
            {
                both[expected[row]]++;
            }
        }

        return both.Zip(either).Where(label => label.Second > 0).Average(label => 2.0 * label.First / label.Second);
    }
}
