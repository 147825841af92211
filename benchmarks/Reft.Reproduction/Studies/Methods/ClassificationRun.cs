namespace Reft.Reproduction;

/// <summary>How a method is trained and measured on a task; the same for all methods but for the learning rate.</summary>
internal sealed record ClassificationOptions
{
    public required double LearningRate { get; init; }

    public required int Epochs { get; init; }

    public required int BatchSize { get; init; }

    /// <summary>Rows are cut to so many tokens.</summary>
    public required int MaxLength { get; init; }

    public required long Seed { get; init; }

    public required ModelDtype Dtype { get; init; }
}

/// <summary>What a head says of rows.</summary>
/// <param name="Expected">The rows' labels, as places in the task's list.</param>
/// <param name="Predicted">The likeliest labels.</param>
/// <param name="Loss">The mean of −log p of the rows' labels.</param>
internal sealed record Predictions(int[] Expected, int[] Predicted, double Loss)
{
    public bool[] Right => [.. Expected.Zip(Predicted, (expected, predicted) => expected == predicted)];
}

/// <summary>Trains a method with a fresh head on a task, and asks it about the other two parts.</summary>
internal static class ClassificationRun
{
    private const int EvaluationBatch = 32;

    public static async Task<(RunResult Training, Predictions Development, Predictions Test)> RunAsync(
        string modelFolder,
        RealTask task,
        Action<ReftModel> attach,
        ClassificationOptions options,
        CancellationToken stop)
    {
        using var model = ReftModel.Load(modelFolder, new ModelOptions { Seed = options.Seed, Dtype = options.Dtype });
        model.AttachClassifier(new ClassifierOptions { Labels = task.Labels, Seed = options.Seed });
        attach(model);
        // Of the processor, not of the clock: runs share a machine, and each has one thread.
        var began = Environment.CpuUsage.TotalTime;
        var trained = await model.FitClassifierAsync(
            ClassificationData.FromRows(Cut(model, task.Train, options.MaxLength)),
            new TrainingOptions
            {
                LearningRate = options.LearningRate,
                Epochs = options.Epochs,
                BatchSize = options.BatchSize,
                Batching = TrainingBatching.ByLength(),
                Seed = options.Seed,
                Schedule = LearningRateSchedule.Linear,
                WarmupRatio = 0.1,
            },
            cancellationToken: stop).ConfigureAwait(false);
        var trainedAt = Environment.CpuUsage.TotalTime;
        var development = Predict(model, task, task.Development, options.MaxLength);
        var test = Predict(model, task, task.Test, options.MaxLength);
        var numbers = new Dictionary<string, double>
        {
            ["parameters"] = trained.TrainableParameters,
            ["base_parameters"] = model.Describe().BaseParameters,
            ["head_parameters"] = trained.HeadParameters,
            ["training_seconds"] = (trainedAt - began).TotalSeconds,
            ["evaluation_seconds"] = (Environment.CpuUsage.TotalTime - trainedAt).TotalSeconds,
            ["steps"] = trained.History.Count,
            ["last_loss"] = trained.History.TakeLast(10).Average(step => step.Loss),
        };
        return (new RunResult { Numbers = numbers }, development, test);
    }

    // Ids rather than text: what is read in training and after it is cut at the same place.
    private static LabelledRow[] Cut(ReftModel model, IEnumerable<LabelledRow> rows, int length) =>
    [
        .. rows.Select(row => row with
        {
            Text = null,
            InputIds = [.. model.Tokenizer!.EncodePrompt(row.Text!).Take(length)],
        }),
    ];

    // Rows of similar lengths together, answers in the rows' order.
    private static Predictions Predict(ReftModel model, RealTask task, IReadOnlyList<LabelledRow> rows, int length)
    {
        var cut = Cut(model, rows, length);
        var order = Enumerable.Range(0, cut.Length).OrderBy(row => cut[row].InputIds!.Count).ToArray();
        var predicted = new int[cut.Length];
        var expected = rows.Select(row => Place(row.Label!)).ToArray();
        var loss = 0.0;
        foreach (var (found, row) in model.Classify(order.Select(row => cut[row]), EvaluationBatch).Zip(order))
        {
            predicted[row] = Place(found.Label!);
            loss -= Math.Log(Math.Max(found.Scores[expected[row]].Score, 1e-12));
        }

        return new Predictions(expected, predicted, loss / cut.Length);

        int Place(string label) => task.Labels.Index().Single(known => known.Item == label).Index;
    }
}
