using System.Globalization;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>
/// A task of GLUE: the method is trained together with a classification head, the better half of the validation rows chooses the
/// best epoch, and the other is the test.
/// </summary>
internal sealed class GlueWork(Recipe recipe) : RecipeWork(recipe)
{
    /// <summary>What the names of these tasks begin with.</summary>
    public const string Prefix = "glue/";

    private readonly GlueTask _task = GlueTask.Named(recipe.Task[Prefix.Length..]);
    private string _folder = "";

    public override IReadOnlyList<string> Datasets { get; } = [GlueTask.Named(recipe.Task[Prefix.Length..]).Name];

    public override RecipeFileSet FindFiles(string data, IReadOnlyList<string>? datasets)
    {
        _ = Chosen(datasets);
        var folder = new[] { data, Path.Combine(data, _task.Title), Path.Combine(data, _task.Name) }.FirstOrDefault(HasFiles);
        if (folder is null)
        {
            // It says what is expected where.
            _task.Load(data);
        }

        return new(folder ?? data, [KeyValuePair.Create(_task.Name, folder ?? data)]);
    }

    public override void ReadRows(RecipeFileSet files)
    {
        _folder = files.Training;
        _task.Load(_folder);
    }

    public override void Prepare(ReftModel model, long seed) => model.AttachClassifier(_task.ToClassifier() with { Seed = seed });

    public override Task<TrainingResult> TrainAsync(
        ReftModel model, TrainingOptions options, int? maxRows, IProgress<TrainingProgress> progress, CancellationToken stop)
    {
        var splits = _task.Load(_folder, options.Seed);
        return model.FitClassifierAsync(
            ClassificationData.FromRows(Drawn(splits.Train, maxRows, options.Seed)),
            options with { BestModel = new BestModel { Metric = _task.Metric } },
            ClassificationData.FromRows(splits.Validation),
            progress,
            stop);
    }

    public override DatasetScore Evaluate(
        ReftModel model, string dataset, long seed, int? maxRows, string answers, Action<int, int> progress, CancellationToken stop)
    {
        var rows = Drawn(_task.Load(_folder, seed).Test, maxRows, seed);
        var longest = Math.Min(Recipe.Training.MaxLength ?? model.Config.ContextLength, model.Config.ContextLength);
        var found = model.EvaluateClassifier(ClassificationData.FromRows(rows), Recipe.EvaluationBatchSize, longest, stop);
        var predicted = new JsonArray();
        var right = new List<double>(rows.Count);
        foreach (var (row, prediction) in rows.Zip(model.Classify(rows, Recipe.EvaluationBatchSize, longest)))
        {
            stop.ThrowIfCancellationRequested();
            predicted.Add(new JsonObject
            {
                ["text"] = row.Text,
                ["text_pair"] = row.TextPair,
                ["generation"] = prediction.Label ?? prediction.Value?.ToString("R", CultureInfo.InvariantCulture),
                ["answer"] = row.Label ?? row.Value?.ToString("R", CultureInfo.InvariantCulture),
                ["correct"] = row.Label is null ? null : prediction.Label == row.Label,
            });
            right.Add(prediction.Label == row.Label ? 100.0 : 0.0);
            progress(predicted.Count, rows.Count);
        }

        JsonFiles.Write(answers, predicted);
        var score = _task.Metric switch
        {
            "matthews" => found.Matthews,
            "pearson" => found.Pearson,
            _ => found.Accuracy,
        };
        var interval = _task.Metric == "accuracy" ? Bootstrap.Mean(right) : null;
        return new DatasetScore(dataset, rows.Count, 100 * score, _task.Metric, model.CountCut(rows, longest))
        {
            Low = interval?.Low,
            High = interval?.High,
        };
    }

    private static bool HasFiles(string folder) =>
        Directory.Exists(folder)
        && Directory.EnumerateFiles(folder).Select(Path.GetFileName).Any(name =>
            name is "train.tsv" or "msr_paraphrase_train.txt"
            || (name!.StartsWith("train", StringComparison.Ordinal) && name.EndsWith(".parquet", StringComparison.Ordinal)));
}
