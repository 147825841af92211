namespace Reft.Reproduction;

/// <summary>Scores of predictions.</summary>
internal static class Scores
{
    public static double Accuracy(Predictions of) => of.Right.Count(right => right) / (double)of.Expected.Length;

    /// <summary>The mean of the labels' F1; 0 for a label that is neither expected nor predicted anywhere.</summary>
    public static double MacroF1(Predictions of, int labels) => Enumerable.Range(0, labels).Average(label =>
    {
        var both = of.Expected.Zip(of.Predicted).Count(row => row.First == label && row.Second == label);
        var either = of.Expected.Count(row => row == label) + of.Predicted.Count(row => row == label);
        return either == 0 ? 0 : 2.0 * both / either;
    });
}
