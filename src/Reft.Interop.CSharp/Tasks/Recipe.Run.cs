using Reft.Internal;

namespace Reft;

public sealed partial class Recipe
{
    /// <summary>The data sets that it evaluates, in the order of the paper's tables.</summary>
    public IReadOnlyList<string> Datasets => RecipeWork.Of(this).Datasets;

    /// <summary>The files that it reads within a folder.</summary>
    /// <param name="data">The folder of the data.</param>
    /// <param name="datasets">The data sets that are evaluated; all where it is not given.</param>
    /// <exception cref="FileNotFoundException">Some are missing: the message lists all of them, and who publishes them.</exception>
    /// <exception cref="ArgumentException">The task has no such data set.</exception>
    public RecipeFileSet FindFiles(string data, IReadOnlyList<string>? datasets = null) => RecipeWork.Of(this).FindFiles(data, datasets);

    /// <summary>
    /// Refuses a run that could not be done: settings that are not known, files that are missing, rows that are damaged. All rows
    /// are read.
    /// </summary>
    /// <exception cref="FileNotFoundException">Files are missing: all of them are listed.</exception>
    /// <exception cref="InvalidDataException">A row is not of the task's form: the message names the file, the row and the field.</exception>
    /// <exception cref="InvalidOperationException">The recipe does not know a setting.</exception>
    public void CheckFiles(RecipeRunOptions options)
    {
        CheckComplete();
        var work = RecipeWork.Of(this);
        work.ReadRows(work.FindFiles(options.Data, options.Datasets));
    }

    /// <summary>
    /// Trains and evaluates a model once for each seed, and writes adapters, answers and <c>results.json</c> into
    /// <see cref="RecipeRunOptions.Output"/>. What is attached to the model is replaced.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="options">What is read and written, and how much is done.</param>
    /// <param name="progress">Told of each step and batch.</param>
    /// <param name="cancellationToken">Ends it before its next step or batch; the next run goes on from there.</param>
    /// <exception cref="FileNotFoundException">A file is missing: all of them are listed, before anything is trained.</exception>
    /// <exception cref="InvalidDataException">A row is not of the task's form, or the output folder holds a run of other settings.</exception>
    /// <exception cref="InvalidOperationException">The recipe does not know a setting: see <see cref="Unknown"/>.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public Task<RecipeResults> RunAsync(
        ReftModel model,
        RecipeRunOptions options,
        IProgress<RecipeProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        CheckComplete();
        return new RecipeRun(this, RecipeWork.Of(this), model, options, progress, cancellationToken).RunAsync();
    }
}
