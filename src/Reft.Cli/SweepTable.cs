using System.Globalization;

namespace Reft.Cli;

/// <summary>The candidates of a sweep as lines of text, the best first.</summary>
internal static class SweepTable
{
    public static string Of(SweepResult result, string metric, string unit)
    {
        string[][] rows =
        [
            [.. result.Axes, metric, unit, "seconds"],
            .. result.Ranking.Select(run => (string[])
            [
                .. result.Axes.Select(axis => run.Trial.Settings[axis]),
                double.IsNaN(run.Value) ? "failed" : run.Value.ToString("0.0000", CultureInfo.InvariantCulture),
                run.Trial.Budget.ToString(CultureInfo.InvariantCulture),
                run.Duration.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture),
            ]),
        ];
        var widths = Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length)).ToArray();
        return string.Concat(rows.Select(row =>
            string.Join("  ", row.Select((cell, column) => Terminal.Plain(cell).PadRight(widths[column]))).TrimEnd() + "\n"));
    }
}
