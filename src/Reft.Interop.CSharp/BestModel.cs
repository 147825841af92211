namespace Reft;

/// <summary>
/// The metric by which the best parameters of a run are chosen: the model has them when the run is over. Needs rows that are
/// held out.
/// </summary>
public sealed record BestModel
{
    /// <summary>
    /// One that an evaluation gives: <c>loss</c>; of labels also <c>accuracy</c> and <c>f1</c>, and <c>matthews</c>
    /// where one of them is right; of numbers <c>pearson</c> and <c>spearman</c>.
    /// </summary>
    public string Metric { get; init; } = "loss";

    /// <summary>Whether a greater value is better; where it is not given, of every metric but those that measure an error: <c>loss</c>, <c>kl</c>, <c>language</c> and <c>rejected_reward</c>.</summary>
    public bool? GreaterIsBetter { get; init; }

    /// <summary>By how much a value must be better than the best before, to count as such.</summary>
    public double MinimumChange { get; init; }

    /// <summary>
    /// Early stopping: after how many evaluations in a row without a better value the run ends; null never ends it.
    /// </summary>
    public int? Patience { get; init; }

    internal Core.Selection ToCore() =>
        new(
            Metric,
            GreaterIsBetter ?? Metric is not ("loss" or "kl" or "language" or "rejected_reward") ? Core.Better.Higher : Core.Better.Lower,
            MinimumChange,
            Internal.FSharpConversions.ToOption(Patience));
}

/// <summary>The best evaluation of a run.</summary>
/// <param name="Step">The step that it followed, from 1.</param>
/// <param name="Metric">The metric by which it was chosen.</param>
/// <param name="Value">Its value.</param>
public sealed record BestEvaluation(int Step, string Metric, double Value);
