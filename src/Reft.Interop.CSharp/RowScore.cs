namespace Reft;

/// <summary>How likely a model finds a row.</summary>
/// <param name="TokenIds">The row's n tokens.</param>
/// <param name="LogProbs">n − 1 natural logarithms: the i-th is log p(id[i + 1] | id[0 … i]).</param>
/// <param name="Loss">The mean of −log p over the scored tokens; null where none is scored, as in a row of one token.</param>
public sealed record RowScore(IReadOnlyList<int> TokenIds, IReadOnlyList<float> LogProbs, double? Loss);
