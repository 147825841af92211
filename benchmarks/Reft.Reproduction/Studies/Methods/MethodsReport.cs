using System.Globalization;

namespace Reft.Reproduction;

/// <summary>The tables and pictures of the comparison, for each model.</summary>
internal sealed class MethodsReport
{
    private readonly MethodsSize _size;
    private readonly StudyContext _context;
    private readonly MethodsStudy _study;
    private readonly Dictionary<(string Model, string Task, string Method), MethodCell> _cells = [];

    public MethodsReport(MethodsStudy study, StudyContext context)
    {
        (_study, _context, _size) = (study, context, MethodsSize.Of(context.Scope));
        foreach (var model in Models)
        {
            foreach (var task in Sizes(model))
            {
                foreach (var method in Methods(model))
                {
                    _cells.Add((model, task.Name, method.Name), new MethodCell(study.Reported(model, task, method, context)));
                }
            }
        }
    }

    private static IEnumerable<string> Models => [StudyContext.Base, StudyContext.Large];

    private IEnumerable<TaskSize> Sizes(string model) =>
        model == StudyContext.Base ? _size.Tasks : _size.Tasks.Where(task => _size.LargeTasks.Contains(task.Name));

    private IReadOnlyList<string> Tasks(string model) => [.. Sizes(model).Select(task => task.Name)];

    private IReadOnlyList<ComparedMethod> Methods(string model)
    {
        var names = model == StudyContext.Base ? _size.Methods : _size.LargeMethods;
        return [.. ComparedMethods.All.Where(method => names.Contains(method.Name))];
    }

    public void Write(ReportPage page)
    {
        foreach (var model in Models)
        {
            Scores(page, model);
            Intervals(page, model);
            Tests(page, model);
            Costs(page, model);
            MethodsPicture.Draw(page, $"methods-{model}", Tasks(model), Methods(model), (task, method) => _cells[(model, task, method)]);
        }

        Data(page);
        Rates(page, "methods-rates", _size.Tasks, Methods(StudyContext.Base));
        if (_size.Longer is { } longer)
        {
            Longer(page, longer);
            Rates(page, "methods-longer-rates", [longer], LongerMethods);
        }
    }

    private void Scores(ReportPage page, string model) => page.Table(
        $"methods-{model}",
        ["method", "parameters", "%", .. Tasks(model), "mean", "seeds"],
        Methods(model).Select(method => (IReadOnlyList<string>)
        [
            method.Title,
            .. Parameters(model, method),
            .. Tasks(model).Select(task => Cell(model, task, method).Of("test_accuracy").Show("0.0", 100)),
            MeanOverTasks(model, method).Show("0.0", 100),
            Seeds(model, method),
        ]));

    private void Intervals(ReportPage page, string model) => page.Table(
        $"methods-intervals-{model}",
        ["method", .. Tasks(model).SelectMany(task => (string[])[$"{task}: accuracy", $"{task}: macro-F1"])],
        Methods(model).Select(method => (IReadOnlyList<string>)
        [
            method.Title,
            .. Tasks(model).SelectMany(task => Cell(model, task, method) is { IsEmpty: false } cell
                ? (string[])[Shown(cell.Accuracy()), Shown(cell.MacroF1())]
                : [ReportPage.NotRun, ReportPage.NotRun]),
        ]));

    // Of each task's methods against the reference; p values are corrected for all methods of the task.
    private void Tests(ReportPage page, string model)
    {
        var others = Methods(model).Where(method => method.Name != ComparedMethods.Reference).ToArray();
        var reference = ComparedMethods.Named(ComparedMethods.Reference);
        var byTask = Tasks(model).Select(task =>
        {
            var first = Cell(model, task, reference);
            var tested = others.Where(method => !first.IsEmpty && !Cell(model, task, method).IsEmpty).ToArray();
            PairedTestResult[] results =
                [.. tested.Select(method => PairedTest.SignFlip(Cell(model, task, method).ShareRight(), first.ShareRight()))];
            var corrected = results.Length == 0 ? [] : PairedTest.Holm([.. results.Select(result => result.PValue)]);
            return tested.Index().ToDictionary(
                method => method.Item.Name, method => (results[method.Index].Difference, P: corrected[method.Index]));
        }).ToArray();
        page.Table(
            $"methods-tests-{model}",
            ["method", .. Tasks(model).SelectMany(task => (string[])[$"{task}: points", $"{task}: p"])],
            others.Select(method => (IReadOnlyList<string>)
            [
                method.Title,
                .. byTask.SelectMany(task => task.TryGetValue(method.Name, out var found)
                    ? (string[])[(100 * found.Difference).ToString("+0.0;−0.0;0.0", CultureInfo.InvariantCulture), ShownP(found.P)]
                    : [ReportPage.NotRun, ReportPage.NotRun]),
            ]));
    }

    private void Costs(ReportPage page, string model) => page.Table(
        $"methods-costs-{model}",
        ["method", .. Tasks(model).SelectMany(task => (string[])[$"{task}: CPU s", $"{task}: MB"])],
        Methods(model).Select(method => (IReadOnlyList<string>)
        [
            method.Title,
            .. Tasks(model).SelectMany(task => (string[])
            [
                Cell(model, task, method).Of("training_seconds").Show("0.0"),
                Spread.Of(Cell(model, task, method).Runs.Select(run => run.PeakMegabytes)).Show("0"),
            ]),
        ]));

    private void Data(ReportPage page) => page.Table(
        "methods-data",
        ["task", "rows to train on", "development", "test", "the largest class, test", "steps"],
        _size.Tasks.Select(size => (Task: size.Name, Run: Methods(StudyContext.Base)
            .SelectMany(method => _study.Tried(size, method, _context)).Select(tried => tried.Run)
            .FirstOrDefault(run => run?.Diverged == false)))
        .Select(found => found is { Task: var task, Run: { } run }
            ? (IReadOnlyList<string>)
            [
                task, Count(run["train_rows"]), Count(run["dev_rows"]), Count(run["test_rows"]),
                Percent(run["test_majority"]), Count(run["steps"]),
            ]
            : [found.Task, .. Enumerable.Repeat(ReportPage.NotRun, 5)]));

    // Accuracy on the development split at each rate tried, the one chosen in bold; a star where it is at an end of the grid.
    private void Rates(ReportPage page, string name, IReadOnlyList<TaskSize> tasks, IEnumerable<ComparedMethod> methods) => page.Table(
        name,
        ["method", .. tasks.Select(task => task.Name)],
        methods.Select(method => (IReadOnlyList<string>)
        [
            method.Title,
            .. tasks.Select(task =>
            {
                var chosen = _study.ChosenRate(task, method, _context);
                var all = _study.Tried(task, method, _context);
                return string.Join(", ", all.Select(tried =>
                    tried.Run is not { } run ? $"{tried.Rate}: {ReportPage.NotRun}"
                    : run.Diverged ? $"{tried.Rate}: diverged"
                    : tried.Rate == chosen ? $"**{tried.Rate}: {Percent(run["dev_accuracy"])}**{(tried == all[0] || tried == all[^1] ? "*" : "")}"
                    : $"{tried.Rate}: {Percent(run["dev_accuracy"])}"));
            }),
        ]));

    private IEnumerable<ComparedMethod> LongerMethods => ComparedMethods.All.Where(method => _size.LongerMethods.Contains(method.Name));

    // Beside the same task at its usual length: what is learnt of the rows, and what of the task.
    private void Longer(ReportPage page, TaskSize longer)
    {
        var usual = _size.Tasks.Single(task => task.Name == longer.Name);
        string[] measures = ["accuracy", "test loss", "training loss"];
        page.Table(
            "methods-longer",
            ["method", .. new[] { usual, longer }.SelectMany(task => measures.Select(measure => $"{Epochs(task)}: {measure}")), "seeds"],
            LongerMethods.Select(method =>
            {
                MethodCell[] cells =
                    [.. new[] { usual, longer }.Select(task => new MethodCell(_study.Reported(StudyContext.Base, task, method, _context)))];
                return (IReadOnlyList<string>)
                [
                    method.Title,
                    .. cells.SelectMany(cell => (string[])
                        [cell.Of("test_accuracy").Show("0.0", 100), cell.Of("test_loss").Show("0.00"), cell.Of("last_loss").Show("0.00")]),
                    Range(cells.Select(cell => cell.Runs.Count)),
                ];
            }));

        static string Epochs(TaskSize task) => $"{task.Epochs} epochs";
    }

    private MethodCell Cell(string model, string task, ComparedMethod method) => _cells[(model, task, method.Name)];

    // The mean over tasks of each seed that all tasks have.
    private Spread MeanOverTasks(string model, ComparedMethod method)
    {
        var cells = Tasks(model).Select(task => Cell(model, task, method)).ToArray();
        return cells.Length == 0 || cells.Any(cell => cell.IsEmpty)
            ? Spread.Of([])
            : Spread.Of(cells[0].Runs
                .Select(run => run.Key.Seed)
                .Where(seed => cells.All(cell => cell.Runs.Any(run => run.Key.Seed == seed)))
                .Select(seed => cells.Average(cell => cell.Runs.Single(run => run.Key.Seed == seed)["test_accuracy"])));
    }

    private string[] Parameters(string model, ComparedMethod method) =>
        Tasks(model).SelectMany(task => Cell(model, task, method).Runs).FirstOrDefault() is { } run
            ? [Count(run["parameters"]), (100 * run["parameters"] / run["base_parameters"]).ToString("0.###", CultureInfo.InvariantCulture)]
            : [ReportPage.NotRun, ReportPage.NotRun];

    private string Seeds(string model, ComparedMethod method) => Range(Tasks(model).Select(task => Cell(model, task, method).Runs.Count));

    private static string Range(IEnumerable<int> numbers)
    {
        int[] counts = [.. numbers];
        return counts.Length == 0 ? "0" : counts.Min() == counts.Max() ? $"{counts.Min()}" : $"{counts.Min()}–{counts.Max()}";
    }

    private static string Shown(ConfidenceInterval interval) => string.Create(
        CultureInfo.InvariantCulture, $"{100 * interval.Estimate:0.0} [{100 * interval.Low:0.0}, {100 * interval.High:0.0}]");

    private static string ShownP(double p) => p < 0.001 ? "< 0.001" : p.ToString("0.000", CultureInfo.InvariantCulture);

    private static string Count(double number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string Percent(double share) => (100 * share).ToString("0.0", CultureInfo.InvariantCulture);
}
