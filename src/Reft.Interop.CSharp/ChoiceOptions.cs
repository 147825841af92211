namespace Reft;

/// <summary>How a model chooses.</summary>
public enum ChoiceScoring
{
    /// <summary>By the sum of log p over a choice's tokens, after the prompt.</summary>
    Likelihood,

    /// <summary>By the same divided by the number of tokens.</summary>
    PerToken,

    /// <summary>By the same divided by the number of bytes of its UTF-8 text: lm-evaluation-harness's <c>acc_norm</c>.</summary>
    PerByte,

    /// <summary>
    /// By the same minus the log p that the choice has after a neutral prompt: pointwise mutual information (Brown et al. 2020).
    /// </summary>
    PointwiseInformation,

    /// <summary>
    /// By what the model says: the choice that its text is, spaces around both aside, or else the (longest) one that it begins
    /// with. A text that is none of them is wrong.
    /// </summary>
    Generation,
}

/// <summary>How a model chooses among texts.</summary>
public sealed record ChoiceOptions
{
    /// <summary>By what.</summary>
    public ChoiceScoring By { get; init; } = ChoiceScoring.Likelihood;

    /// <summary>The prompt for <see cref="ChoiceScoring.PointwiseInformation"/>; what is attached acts there too.</summary>
    public string NeutralPrompt { get; init; } = "Answer:";

    /// <summary>How many choices are computed together, or how many rows by generation.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>New tokens per row at most, by generation; 32 is what the paper's commonsense tasks have.</summary>
    public int MaxNewTokens { get; init; } = 32;
}

/// <summary>A choice and how likely the model finds it.</summary>
/// <param name="LogProb">The sum of log p over its tokens, after the prompt.</param>
/// <param name="Tokens">How many tokens.</param>
/// <param name="Score">The number by which choices are compared.</param>
/// <param name="Probability">The softmax of the scores of a row's choices.</param>
public sealed record ScoredChoice(double LogProb, int Tokens, double Score, double Probability);

/// <summary>What a model chooses of a row.</summary>
public sealed record ChoiceResult
{
    /// <summary>The number of the choice, from 0; null where the model's text is none of them.</summary>
    public int? Choice { get; init; }

    /// <summary>The number of the right one, if the row says it.</summary>
    public int? Answer { get; init; }

    /// <summary>Each choice's scores, in the order of the row; empty by generation.</summary>
    public IReadOnlyList<ScoredChoice> Scores { get; init; } = [];

    /// <summary>What the model said, by generation.</summary>
    public string? Text { get; init; }

    /// <summary>Whether the choice is the right one; null where the row does not say which that is.</summary>
    public bool? IsRight => Answer is { } answer ? Choice == answer : null;

    /// <summary>The probability of the choice; null by generation.</summary>
    public double? Confidence => Choice is { } choice && choice < Scores.Count ? Scores[choice].Probability : null;
}

/// <summary>How well a model chooses.</summary>
public sealed record ChoiceEvaluation
{
    /// <summary>How many rows.</summary>
    public required int Rows { get; init; }

    /// <summary>The share of right choices, with its interval by bootstrap.</summary>
    public required ConfidenceInterval Accuracy { get; init; }

    /// <summary>The expected calibration error, of ten bins equally wide; null by generation.</summary>
    public double? CalibrationError { get; init; }

    /// <summary>Brier's score of the probabilities (see <see cref="Calibration.Brier"/>); null by generation.</summary>
    public double? Brier { get; init; }

    /// <summary>The mean of −log p of the right choice, by the softmax of the scores; null by generation.</summary>
    public double? NegativeLogLikelihood { get; init; }

    /// <summary>The evaluation of results.</summary>
    /// <param name="results">Results of rows that all say which choice is right.</param>
    /// <param name="options">How the interval is made.</param>
    /// <exception cref="ArgumentException">There is no row, or one that does not say which choice is right.</exception>
    public static ChoiceEvaluation Of(IReadOnlyList<ChoiceResult> results, BootstrapOptions? options = null)
    {
        if (results.Count == 0 || results.Any(result => result.IsRight is null))
        {
            throw new ArgumentException(
                results.Count == 0 ? "expected at least one row, found none" : "expected rows that all say which choice is right",
                nameof(results));
        }

        var accuracy = Bootstrap.Mean([.. results.Select(result => result.IsRight == true ? 1.0 : 0.0)], options);
        if (results.Any(result => result.Scores.Count == 0))
        {
            return new ChoiceEvaluation { Rows = results.Count, Accuracy = accuracy };
        }

        int[] answers = [.. results.Select(result => result.Answer!.Value)];
        return new ChoiceEvaluation
        {
            Rows = results.Count,
            Accuracy = accuracy,
            CalibrationError = Calibration.ExpectedError(
                [.. results.Select(result => new ConfidentPrediction(result.Confidence!.Value, result.IsRight!.Value))]),
            Brier = Calibration.Brier(
                [.. results.Select(result => (IReadOnlyList<double>)[.. result.Scores.Select(score => score.Probability)])], answers),
            NegativeLogLikelihood = results.Average(result =>
            {
                // A probability may round to 0.
                var largest = result.Scores.Max(score => score.Score);
                return largest + Math.Log(result.Scores.Sum(score => Math.Exp(score.Score - largest))) - result.Scores[result.Answer!.Value].Score;
            }),
        };
    }
}
