using Reft.Internal;

namespace Reft;

/// <summary>
/// A task of the paper whose answers are generated: which files it has, what a model is asked, and what counts as right. The
/// classification tasks of GLUE are apart.
/// </summary>
public sealed class EvaluationTask
{
    private readonly TaskForm _form;

    private EvaluationTask(string name, TaskForm form, TaskFile training, IReadOnlyList<TaskFile> tests)
    {
        Name = name;
        _form = form;
        Training = training;
        Tests = tests;
    }

    /// <summary>All of them.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        new("commonsense", TaskForm.Commonsense, TaskFiles.Commonsense170K, TaskFiles.CommonsenseTests),
        new("arithmetic", TaskForm.Arithmetic, TaskFiles.Math10K, TaskFiles.ArithmeticTests),
        new("gsm8k", TaskForm.Gsm8K, TaskFiles.Gsm8KTraining, [TaskFiles.Gsm8KTest]),
        new("gsm8k-tuning", TaskForm.Gsm8KTuning, TaskFiles.Gsm8KTraining, [TaskFiles.Gsm8KTraining]),
        new("alpaca", TaskForm.Instruction, TaskFiles.Alpaca, [TaskFiles.AlpacaEval]),
        new("ultrafeedback", TaskForm.Instruction, TaskFiles.UltraFeedback, [TaskFiles.AlpacaEval]),
    ];

    /// <summary>Its name, e.g. <c>commonsense</c>.</summary>
    public string Name { get; }

    /// <summary>The file that is trained on.</summary>
    public TaskFile Training { get; }

    /// <summary>The files that are evaluated, one for each data set.</summary>
    public IReadOnlyList<TaskFile> Tests { get; }

    /// <summary>Whether answers are right or wrong by themselves; else a judge decides, as in AlpacaEval.</summary>
    public bool IsScored => _form.Judge is not null;

    /// <summary>The task of a name.</summary>
    /// <exception cref="ArgumentException">There is none: the message lists those there are.</exception>
    public static EvaluationTask Named(string name) =>
        All.FirstOrDefault(task => task.Name == name)
        ?? throw new ArgumentException(
            $"there is no task '{name}': expected one of {string.Join(", ", All.Select(task => task.Name))}", nameof(name));

    /// <summary>
    /// The rows that are trained on. Of UltraFeedback as its project publishes it, each row's completion is the one with the
    /// best <c>overall_score</c>, the first of several; rows without any are left out. Of <c>gsm8k-tuning</c> these are all
    /// but the last 300.
    /// </summary>
    /// <param name="path">A file of JSON, JSON Lines, CSV, TSV or Parquet.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not of the task's form: the message names the file, the row and the field.</exception>
    public IReadOnlyList<TaskRow> ReadTraining(string path) => _form.Split(true, Read(path, _form.Training), path);

    /// <summary>The rows that are evaluated. Of <c>gsm8k-tuning</c> these are the last 300 of the file that is trained on.</summary>
    /// <param name="path">A file of JSON, JSON Lines, CSV, TSV or Parquet.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">A row is not of the task's form: the message names the file, the row and the field.</exception>
    public IReadOnlyList<TaskRow> ReadTest(string path) => _form.Split(false, Read(path, _form.Test), path);

    /// <summary>What a model is given.</summary>
    /// <param name="instruction">The instruction or question.</param>
    /// <param name="input">Alpaca's input; other tasks have none.</param>
    public string Prompt(string instruction, string? input = null) => _form.Prompt(instruction, input);

    /// <summary>What a model answered: the text after the words that introduce an answer, and the answer in it.</summary>
    /// <param name="row">What was asked.</param>
    /// <param name="generated">What the model wrote after the prompt, without special tokens.</param>
    public TaskAnswer Score(TaskRow row, string generated)
    {
        var text = AnswerExtraction.After(row.Prompt + generated, _form.Trigger);
        if (_form.Judge is not { } judge)
        {
            return new TaskAnswer(text, text, null);
        }

        var (extracted, isCorrect) = judge(
            row.Answer ?? throw new ArgumentException("expected a row with an answer, found one without", nameof(row)), text);
        return new TaskAnswer(text, extracted, isCorrect);
    }

    private static List<TaskRow> Read(string path, Func<RawRow, TaskRow?> row)
    {
        // Rows that hold nothing for the task are null.
        var rows = RowReader.ReadFile(path, TaskForm.Reading, row).OfType<TaskRow>().ToList();
        return rows.Count > 0 ? rows : throw new InvalidDataException($"{path}: expected rows of the task, found none");
    }
}
