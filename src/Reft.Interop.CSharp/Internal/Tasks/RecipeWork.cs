namespace Reft.Internal;

/// <summary>What differs between recipes: which data sets a task has, and how a model is trained and evaluated on them.</summary>
internal abstract class RecipeWork(Recipe recipe)
{
    public Recipe Recipe => recipe;

    public abstract IReadOnlyList<string> Datasets { get; }

    public static RecipeWork Of(Recipe recipe) =>
        recipe.Task.StartsWith(GlueWork.Prefix, StringComparison.Ordinal) ? new GlueWork(recipe) : new GenerationWork(recipe);

    /// <summary>Readies the model, besides what the method attaches.</summary>
    public virtual void Prepare(ReftModel model, long seed)
    {
    }

    /// <summary>The files of the task within a folder.</summary>
    public abstract RecipeFileSet FindFiles(string data, IReadOnlyList<string>? datasets);

    /// <summary>Reads all rows, so that a damaged file is found before an hour of training.</summary>
    public abstract void ReadRows(RecipeFileSet files);

    /// <summary>Trains what is attached.</summary>
    public abstract Task<TrainingResult> TrainAsync(
        ReftModel model, TrainingOptions options, int? maxRows, IProgress<TrainingProgress> progress, CancellationToken stop);

    /// <summary>Evaluates a data set and writes its answers.</summary>
    public abstract DatasetScore Evaluate(
        ReftModel model, string dataset, long seed, int? maxRows, string answers, Action<int, int> progress, CancellationToken stop);

    /// <summary>So many rows at most, drawn by a seed; in the order of the file.</summary>
    protected static IReadOnlyList<T> Drawn<T>(IReadOnlyList<T> rows, int? count, long seed)
    {
        if (count is not { } most || most >= rows.Count)
        {
            return rows;
        }

        var order = Enumerable.Range(0, rows.Count).ToArray();
#pragma warning disable CA5394 // Which rows are drawn is no secret.
        new Random((int)seed).Shuffle(order);
#pragma warning restore CA5394
        return [.. order[..most].Order().Select(row => rows[row])];
    }

    /// <summary>Some of the data sets, in the task's order.</summary>
    protected IReadOnlyList<string> Chosen(IReadOnlyList<string>? datasets)
    {
        foreach (var name in datasets ?? [])
        {
            if (!Datasets.Contains(name))
            {
                throw new ArgumentException($"{recipe.Task} has no data set '{name}': expected {string.Join(", ", Datasets)}");
            }
        }

        return datasets is null ? Datasets : [.. Datasets.Where(datasets.Contains)];
    }
}
