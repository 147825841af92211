using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>Tasks whose answers are generated.</summary>
internal sealed class GenerationWork(Recipe recipe) : RecipeWork(recipe)
{
    private readonly EvaluationTask _task = EvaluationTask.Named(recipe.Task);
    private readonly Dictionary<string, IReadOnlyList<TaskRow>> _tests = new(StringComparer.Ordinal);
    private IReadOnlyList<TaskRow> _training = [];

    public override IReadOnlyList<string> Datasets { get; } =
        [.. EvaluationTask.Named(recipe.Task).Tests.Select(file => file.Dataset)];

    private RecipeDecoding Decoding =>
        Recipe.Decoding ?? throw new InvalidDataException($"{Recipe.Name}: key 'decoding': it is missing, and the task {Recipe.Task} generates");

    public override RecipeFileSet FindFiles(string data, IReadOnlyList<string>? datasets)
    {
        var chosen = Chosen(datasets);
        TaskFile[] tests = [.. _task.Tests.Where(file => chosen.Contains(file.Dataset))];
        TaskFile[] missing = [.. tests.Prepend(_task.Training).Distinct().Where(file => file.Find(data) is null)];
        return missing is []
            ? new(_task.Training.Find(data)!, [.. tests.Select(file => KeyValuePair.Create(file.Dataset, file.Find(data)!))])
            : throw new FileNotFoundException(
                $"{data} lacks {missing.Length} of the files of {Recipe.Task}: {string.Join("; ", missing.Select(file => file.ToString()))}", data);
    }

    public override void ReadRows(RecipeFileSet files)
    {
        _ = Decoding;
        _training = _task.ReadTraining(files.Training);
        foreach (var (dataset, path) in files.Tests)
        {
            _tests[dataset] = _task.ReadTest(path);
        }
    }

    public override Task<TrainingResult> TrainAsync(
        ReftModel model, TrainingOptions options, int? maxRows, IProgress<TrainingProgress> progress, CancellationToken stop)
    {
        var rows = Drawn(_training, maxRows, options.Seed);
        return model.FitAsync(TrainingData.FromRows(rows.Select(row => row.ToDataRow())), options, progress, stop);
    }

    public override DatasetScore Evaluate(
        ReftModel model, string dataset, long seed, int? maxRows, string answers, Action<int, int> progress, CancellationToken stop)
    {
        var rows = Drawn(_tests[dataset], maxRows, seed);
        var context = model.Config.ContextLength;
        var tokenizer = model.Tokenizer ?? throw new InvalidDataException(
            $"{model.Config.Folder}: {model.TokenizerProblem ?? "the model's folder holds no tokenizer"}: the task {Recipe.Task} is text");

        // pyreft cuts prompts to the longest row; a small model's context may be shorter still, and one token must fit.
        var longest = Math.Min(Recipe.Training.MaxLength ?? context, context - 1);
        var prompts = rows.Select((row, i) => (Row: i, Ids: tokenizer.EncodePrompt(row.Prompt))).ToArray();
        var found = new TaskAnswer[rows.Count];
        var said = new string[rows.Count];
        var done = 0;

        // Rows that have the same room for an answer are generated together, those of like lengths in one batch.
        foreach (var group in prompts
            .Select(prompt => (prompt.Row, Ids: (IReadOnlyList<int>)[.. prompt.Ids.Take(longest)]))
            .GroupBy(prompt => Decoding.NewTokens(prompt.Ids.Count, context)))
        {
            var asked = group.ToArray();
            var written = model.GenerateRows(
                asked.Select(prompt => new DataRow { InputIds = prompt.Ids, Source = rows[prompt.Row].Source }),
                Decoding.ToOptions(group.Key, Recipe.EvaluationBatchSize, seed));
            foreach (var (prompt, result) in asked.Zip(written))
            {
                said[prompt.Row] = result.Text ?? "";
                found[prompt.Row] = _task.Score(rows[prompt.Row], said[prompt.Row]);
                progress(++done, rows.Count);
                stop.ThrowIfCancellationRequested();
            }
        }

        Write(answers, dataset, rows, said, found);
        var interval = _task.IsScored ? Bootstrap.Mean([.. found.Select(answer => answer.IsCorrect == true ? 100.0 : 0.0)]) : null;
        return new DatasetScore(
            dataset,
            rows.Count,
            interval?.Estimate,
            _task.IsScored ? "accuracy" : DatasetScore.Judged,
            prompts.Count(prompt => prompt.Ids.Count > longest))
        {
            Low = interval?.Low,
            High = interval?.High,
        };
    }

    private void Write(string path, string dataset, IReadOnlyList<TaskRow> rows, string[] said, TaskAnswer[] answers)
    {
        if (!_task.IsScored)
        {
            AlpacaEvalFile.Write(path, rows.Zip(answers, (row, answer) => new AlpacaEvalOutput(row.Instruction, answer.Text, Recipe.Name, dataset)));
            return;
        }

        // Beside pyreft's fields, of which raw_generation begins after the trigger: all that the model wrote.
        JsonFiles.Write(path, new JsonArray([.. rows.Zip(said, answers).Select(found => new JsonObject
        {
            ["instruction"] = found.First.Instruction,
            ["written"] = found.Second,
            ["raw_generation"] = found.Third.Text,
            ["generation"] = found.Third.Extracted,
            ["answer"] = found.First.Answer,
            ["correct"] = found.Third.IsCorrect,
        })]));
    }
}
