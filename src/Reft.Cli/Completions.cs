namespace Reft.Cli;

/// <summary>What a model says of rows, for reports.</summary>
internal static class Completions
{
    private const int LongestAnswer = 48;

    /// <summary>The completions of rows, as <c>After</c>; none where a prompt leaves no room.</summary>
    public static IReadOnlyList<TrainingSample> Of(ReftModel model, IEnumerable<DataRow> some, int batchSize)
    {
        DataRow[] rows = [.. some];
        try
        {
            return
            [
                .. model.GenerateRows(rows, new GenerationOptions { BatchSize = batchSize, MaxNewTokens = LongestAnswer }).Zip(rows, (answer, row) => new TrainingSample
                {
                    Input = row.Prompt ?? Ids((row.InputIds ?? []).Take(PromptOf(row))),
                    Expected = row.Completion ?? (row.InputIds is { } ids ? Ids(ids.Skip(PromptOf(row))) : null),
                    After = answer.Text ?? Ids(answer.TokenIds),
                }),
            ];
        }
        catch (ArgumentException e)
        {
            // A prompt that leaves no room for an answer is no reason not to train.
            Terminal.Say($"no examples before and after: {Values.MessageOf(e)}");
            return [];
        }

        static string Ids(IEnumerable<int> ids) => string.Join(' ', ids);

        static int PromptOf(DataRow row) =>
            row.PromptLength ?? (row.Labels ?? []).TakeWhile(label => label < 0).Count();
    }
}
