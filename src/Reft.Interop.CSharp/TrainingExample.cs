namespace Reft;

/// <summary>A row of token ids, with the tokens that are scored and the length of the prompt.</summary>
/// <param name="TokenIds">The ids.</param>
/// <param name="Labels">Aligned with the ids: the id where it is scored, −100 where it is not.</param>
/// <param name="PromptLength">How many of the first ids are the prompt, to which positions refer.</param>
public sealed record TrainingExample(IReadOnlyList<int> TokenIds, IReadOnlyList<int> Labels, int PromptLength)
{
    /// <summary>The label of a token that is not scored.</summary>
    public const int Ignored = -100;

    /// <summary>A prompt, and the completion that follows it: every token of the completion is scored.</summary>
    public static TrainingExample FromCompletion(IReadOnlyList<int> promptIds, IReadOnlyList<int> completionIds) =>
        new(
            [.. promptIds, .. completionIds],
            [.. Enumerable.Repeat(Ignored, promptIds.Count), .. completionIds],
            promptIds.Count);
}
