using System.Globalization;

namespace Reft.Reproduction;

/// <summary>
/// Methods beside each other on classification tasks. Each has as many runs as the others to choose its learning rate, by the
/// development split at the first seed; the run of the rate chosen is the first of those that are reported on the test split.
/// The larger model takes the base model's rates, as the paper's larger models took those of LLaMA-7B.
/// </summary>
internal sealed class MethodsStudy : IStudy
{
    public string Name => "methods";

    public string Version => "2";

    public IEnumerable<PlannedRun> Plan(StudyContext context)
    {
        var size = MethodsSize.Of(context.Scope);
        foreach (var (task, method) in size.Tasks.SelectMany(task => Methods(size.Methods).Select(method => (task, method))))
        {
            foreach (var run in OfBase(task, method, 0))
            {
                yield return run;
            }

            if (context.Folders.ContainsKey(StudyContext.Large)
                && size.LargeTasks.Contains(task.Name) && size.LargeMethods.Contains(method.Name)
                && ChosenRate(task, method, context) is { } chosen)
            {
                foreach (var seed in Enumerable.Range(1, size.Seeds))
                {
                    yield return new PlannedRun(
                        Key(StudyContext.Large, task, method, chosen, seed, size), seed == TunedConfigurations.FirstSeed ? 2 : 3);
                }
            }
        }

        if (size.Longer is { } longer)
        {
            foreach (var run in Methods(size.LongerMethods).SelectMany(method => OfBase(longer, method, 2)))
            {
                yield return run;
            }
        }

        IEnumerable<PlannedRun> OfBase(TaskSize task, ComparedMethod method, int priority) =>
            Tuning(method, context).Plan(context, KeyOf(StudyContext.Base, task, method, size), priority);

        static IEnumerable<ComparedMethod> Methods(IReadOnlyList<string> names) =>
            ComparedMethods.All.Where(method => names.Contains(method.Name));
    }

    /// <summary>The rate that did best on the development split; null until all are tried. Of equal ones that of the lower loss.</summary>
    public string? ChosenRate(TaskSize task, ComparedMethod method, StudyContext context) =>
        Tuning(method, context).Best(context, KeyOf(StudyContext.Base, task, method, MethodsSize.Of(context.Scope)));

    /// <summary>The rates, and their runs where they are finished.</summary>
    public IReadOnlyList<(string Rate, FinishedRun? Run)> Tried(TaskSize task, ComparedMethod method, StudyContext context) =>
        Tuning(method, context).Tried(context, KeyOf(StudyContext.Base, task, method, MethodsSize.Of(context.Scope)));

    /// <summary>The runs that are reported, by seed; empty until the rate is chosen.</summary>
    public IReadOnlyList<FinishedRun> Reported(string model, TaskSize task, ComparedMethod method, StudyContext context) =>
        ChosenRate(task, method, context) is { } rate
            ? Tuning(method, context).Reported(context, rate, KeyOf(model, task, method, MethodsSize.Of(context.Scope)))
            : [];

    public async Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop)
    {
        var task = key.Task == SmokeTask.Name
            ? SmokeTask.Create(key.Count("rows"), key.Count("heldout"))
            : RealTasks.Load(key.Task, context.Packages, key.Count("rows"), key.Count("heldout"));
        var (training, development, test) = await ClassificationRun.RunAsync(
            context.Folders[key.Model],
            task,
            model => ComparedMethods.Named(key.Method).Attach(model, key),
            new ClassificationOptions
            {
                LearningRate = key.Number("lr"),
                Epochs = key.Count("epochs"),
                BatchSize = key.Count("batch"),
                MaxLength = key.Count("tokens"),
                Seed = key.Seed,
                Dtype = Enum.Parse<ModelDtype>(key["dtype"]),
            },
            stop).ConfigureAwait(false);
        var numbers = new Dictionary<string, double>
        {
            ["dev_accuracy"] = Accuracy(development),
            ["test_accuracy"] = Accuracy(test),
            ["dev_loss"] = development.Loss,
            ["test_loss"] = test.Loss,
            ["dev_macro_f1"] = MacroF1(development),
            ["test_macro_f1"] = MacroF1(test),
            ["test_majority"] = test.Expected.CountBy(label => label).Max(label => label.Value) / (double)test.Expected.Length,
            ["train_rows"] = task.Train.Count,
            ["dev_rows"] = development.Expected.Length,
            ["test_rows"] = test.Expected.Length,
        };
        foreach (var (name, value) in training.Numbers)
        {
            numbers.Add(name, value);
        }

        return training with { Numbers = numbers, Rows = PackedLabels.Pack(test.Expected, test.Predicted, task.Labels.Count) };

        double MacroF1(Predictions of) => Metrics.F1(
            [.. of.Expected.Select(label => task.Labels[label])], [.. of.Predicted.Select(label => task.Labels[label])], F1Average.Macro);

        static double Accuracy(Predictions of) => of.Right.Average(right => right ? 1.0 : 0.0);
    }

    public void Report(ReportPage page, StudyContext context) => new MethodsReport(this, context).Write(page);

    private static TunedConfigurations Tuning(ComparedMethod method, StudyContext context) => new(
        ComparedMethods.Rates(method.Family, context.Scope), MethodsSize.Of(context.Scope).Seeds, "dev_accuracy", HigherIsBetter: true)
    {
        Tie = "dev_loss",
    };

    private Func<string, long, RunKey> KeyOf(string model, TaskSize task, ComparedMethod method, MethodsSize size) =>
        (rate, seed) => Key(model, task, method, rate, seed, size);

    private RunKey Key(string model, TaskSize task, ComparedMethod method, string rate, long seed, MethodsSize size) =>
        RunKey.Of(
            Name,
            model,
            task.Name,
            method.Name,
            seed,
            ("lr", rate),
            ("epochs", Text(task.Epochs)),
            ("batch", Text(size.BatchSize)),
            ("rows", Text(task.TrainRows)),
            ("heldout", Text(size.HeldOutRows)),
            ("tokens", Text(task.MaxLength)),
            ("positions", size.Positions),
            ("rank", Text(size.Rank)),
            ("dtype", size.Dtype.ToString()));

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
