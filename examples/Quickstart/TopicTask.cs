using Reft;

namespace Quickstart;

/// <summary>How a model does on the task.</summary>
/// <param name="Exact">The part of the rows whose generated text is the answer.</param>
/// <param name="Ranked">The part of the rows of whose four possible answers the right one is the most likely.</param>
/// <param name="Loss">The mean of −log p over the tokens of the answers and the ends after them.</param>
internal sealed record TopicScore(double Exact, double Ranked, double Loss)
{
    public override string ToString() =>
        $"  says the answer: {Exact,6:P1}   ranks it first of four: {Ranked,6:P1}   loss: {Loss:F3}";
}

/// <summary>Rows whose answer is one of a few words.</summary>
internal sealed class TopicTask(TrainingData data)
{
    /// <summary>How many rows are shown with what is generated.</summary>
    public const int Shown = 3;

    private readonly string[] _answers = [.. data.Rows.Select(Answer).Distinct()];

    public IReadOnlyList<DataRow> Rows => data.Rows;

    /// <summary>What the best constant answer scores.</summary>
    public double BaseRate => Rows.CountBy(Answer).Max(pair => pair.Value) / (double)Rows.Count;

    public TopicScore Measure(ReftModel model) =>
        new(
            Exact: Share(Answers(model, Rows.Count).Zip(Rows, (text, row) => text == Answer(row))),
            Ranked: Share(Ranking(model).Zip(Rows, (answer, row) => answer == Answer(row))),
            Loss: model.Evaluate(data, batchSize: 32));

    /// <summary>What the model says after the first prompts.</summary>
    public IReadOnlyList<string> Answers(ReftModel model, int count) =>
        [.. model
            .GenerateBatch(Rows.Take(count).Select(row => row.Prompt!), new GenerationOptions { MaxNewTokens = 6, BatchSize = 32 })
            .Select(result => result.Text!)];

    // A base model that never says one of the words may still find the right one the likeliest of them.
    private IEnumerable<string> Ranking(ReftModel model)
    {
        var candidates = Rows.SelectMany(row => _answers.Select(answer => row with { Completion = answer }));
        return model
            .Score(candidates, batchSize: 32)
            .Chunk(_answers.Length)
            .Select(scores => _answers[Enumerable.Range(0, scores.Length).MinBy(i => scores[i].Loss)]);
    }

    private static string Answer(DataRow row) => row.Completion!;

    private static double Share(IEnumerable<bool> hits) => hits.Average(hit => hit ? 1.0 : 0.0);
}
