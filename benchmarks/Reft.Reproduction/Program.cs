using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Reft.Reproduction;

// The paper's experiments at small scale, on real data:
//
//   dotnet run -c Release --project benchmarks/Reft.Reproduction -- run --scope subset --jobs 2
//
CultureInfo.CurrentCulture = CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
if (args is [RunProcess.Command])
{
    return await RunProcess.DoAsync();
}

var root = Repository.Root();
var studyNames = new Option<string?>("--study") { HelpName = "NAME,…", Description = "Some studies alone; see `list`." };
var scope = new Option<Scope>("--scope") { DefaultValueFactory = _ => Scope.Subset, Description = "How much: smoke, subset or full." };
var results = new Option<string>("--results")
{
    HelpName = "DIR",
    DefaultValueFactory = _ => Path.Combine(root, "artifacts", "reproduction"),
    Description = "Where the results of runs are kept.",
};
var packages = new Option<string>("--packages")
{
    HelpName = "DIR",
    DefaultValueFactory = _ => Environment.GetEnvironmentVariable("REFT_DATASETS") ?? Path.Combine(root, "artifacts", "datasets"),
    Description = "The folder where `dotnet fsi build.fsx install-datasets` puts the data.",
};
var baseModel = new Option<string>("--base")
{
    HelpName = "DIR",
    DefaultValueFactory = _ => Path.Combine(root, "models", "base-3.8m"),
    Description = "The base model.",
};
var large = new Option<string>("--large")
{
    HelpName = "DIR",
    DefaultValueFactory = _ => Path.Combine(root, "models", "base-8.6m"),
    Description = "A larger model; what would run on it is left out where the folder is not there.",
};
var jobs = new Option<int>("--jobs") { DefaultValueFactory = _ => 2, Description = "Runs at a time, a thread each." };
var hours = new Option<double?>("--hours") { HelpName = "H", Description = "Start no new run after so many hours." };
var page = new Option<string>("--page")
{
    HelpName = "FILE",
    DefaultValueFactory = _ => Path.Combine(root, "docs", "reproduction.md"),
    Description = "The page whose tables and pictures are written.",
};
var from = new Option<string?>("--from")
{
    HelpName = "FILE",
    Description = "A file of results, as docs/reproduction/results.jsonl, to import, or to rebuild the page from in place of --results.",
};
var resumed = new Option<bool>("--resumed") { Description = "Fail if a run had to be done: everything must be there already." };

Option[] shared = [studyNames, scope, results, packages, baseModel, large];
var command = new RootCommand("The paper's experiments at small scale, on real data.")
{
    Make("run", "Do the runs that are not there yet.", [.. shared, jobs, hours, resumed], RunAsync),
    Make("report", "Write the tables and pictures of the page from the results that are there.", [.. shared, page, from], ReportAsync),
    Make("import", "Put the runs of docs/reproduction/results.jsonl, or of --from, into --results, so that `run` goes on from them.", [.. shared, from], ImportAsync),
    Make("list", "List the studies.", [], ListAsync),
    Make("data", "Say what the tasks are made of: rows by part and label.", [packages], DataAsync),
    Make("plan", "List the runs, as far as they are known, and which are finished.", shared, PlanAsync),
};
try
{
    return await command.Parse(args).InvokeAsync(
        new InvocationConfiguration { ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false });
}
catch (Exception e) when (e is ArgumentException or IOException or InvalidDataException or UnauthorizedAccessException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

static Command Make(string name, string description, IEnumerable<Option> options, Func<ParseResult, Task<int>> action)
{
    var command = new Command(name, description);
    foreach (var option in options)
    {
        command.Add(option);
    }

    command.SetAction(parsed => action(parsed));
    return command;
}

IReadOnlyList<IStudy> Chosen(ParseResult parsed)
{
    var names = parsed.GetValue(studyNames)?.Split(',', StringSplitOptions.TrimEntries);
    if (names?.FirstOrDefault(name => AllStudies.All.All(study => study.Name != name)) is { } unknown)
    {
        throw new ArgumentException(
            $"--study: there is no '{unknown}'; there are {string.Join(", ", AllStudies.All.Select(study => study.Name))}");
    }

    return [.. AllStudies.All.Where(study => names?.Contains(study.Name) ?? true)];
}

(RunFolder Folder, Func<IReadOnlyList<FinishedRun>, StudyContext> ContextOf) Settings(ParseResult parsed)
{
    var folders = new Dictionary<string, string> { [StudyContext.Base] = parsed.GetValue(baseModel)! };
    if (Directory.Exists(parsed.GetValue(large)))
    {
        folders.Add(StudyContext.Large, parsed.GetValue(large)!);
    }

    return (
        new RunFolder(parsed.GetValue(results)!, folders),
        runs => new StudyContext(parsed.GetValue(scope), parsed.GetValue(packages)!, folders, runs));
}

async Task<int> RunAsync(ParseResult parsed)
{
    var (folder, contextOf) = Settings(parsed);
    var runner = new Runner(Chosen(parsed), folder, contextOf);
    using var stop = new CancellationTokenSource();
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
    var most = parsed.GetValue(hours) is { } limit ? TimeSpan.FromHours(limit) : (TimeSpan?)null;
    var outcome = await runner.RunAsync(parsed.GetValue(jobs), most, stop.Token);
    Console.WriteLine(
        $"{outcome.Done} runs done, {outcome.Earlier} were there, {outcome.Failed} failed, {outcome.Left} left"
        + (outcome.Stopped || outcome.Left > 0 || outcome.Failed > 0 ? ": the same command goes on from there" : ""));
    return outcome.Stopped ? 130 : outcome.Failed > 0 || (parsed.GetValue(resumed) && outcome.Done > 0) ? 1 : 0;

    void Stop(PosixSignalContext signal)
    {
        signal.Cancel = true;
        stop.Cancel();
    }
}

Task<int> ImportAsync(ParseResult parsed)
{
    var (folder, _) = Settings(parsed);
    var lines = parsed.GetValue(from) ?? Path.Combine(root, "docs", "reproduction", "results.jsonl");
    var runs = folder.ReadLines(lines, Chosen(parsed));
    foreach (var run in runs)
    {
        folder.Write(run);
    }

    Console.WriteLine($"{runs.Count} runs of {lines} are finished now");
    return Task.FromResult(0);
}

Task<int> ReportAsync(ParseResult parsed)
{
    if (parsed.GetValue(scope) == Scope.Smoke && parsed.GetResult(page) is not { Implicit: false })
    {
        throw new ArgumentException("--scope smoke has nothing to say on the page of real data: name another with --page");
    }

    var (folder, contextOf) = Settings(parsed);
    var studies = Chosen(parsed);
    var runs = parsed.GetValue(from) is { } lines ? folder.ReadLines(lines, studies) : folder.Read(studies);
    var written = new ReportPage(parsed.GetValue(page)!);
    foreach (var study in studies)
    {
        study.Report(written, contextOf([.. runs.Where(run => run.Key.Study == study.Name)]));
    }

    if (studies.Count == AllStudies.All.Count)
    {
        written.Table(
            "machines",
            ["machine", "runs", "hours of runs"],
            runs.GroupBy(run => run.Machine).Select(group => (IReadOnlyList<string>)
                [group.Key, $"{group.Count()}", (group.Sum(run => run.Seconds) / 3600).ToString("0.00", CultureInfo.InvariantCulture)]));
    }

    written.Save();
    if (parsed.GetValue(from) is null && studies.Count == AllStudies.All.Count)
    {
        RunFolder.WriteLines(Path.Combine(written.Pictures, "results.jsonl"), runs);
    }

    foreach (var name in written.Missing)
    {
        Console.Error.WriteLine($"{parsed.GetValue(page)} has no place for the table {name}: <!-- table:{name} --> … <!-- end -->");
    }

    Console.WriteLine($"{parsed.GetValue(page)}: {runs.Count} runs");
    return Task.FromResult(written.Missing.Count == 0 ? 0 : 1);
}

Task<int> ListAsync(ParseResult parsed)
{
    foreach (var study in AllStudies.All)
    {
        Console.WriteLine(study.Name);
    }

    return Task.FromResult(0);
}

Task<int> DataAsync(ParseResult parsed)
{
    foreach (var line in RealTasks.Describe(parsed.GetValue(packages)!))
    {
        Console.WriteLine(line);
    }

    return Task.FromResult(0);
}

Task<int> PlanAsync(ParseResult parsed)
{
    var (folder, contextOf) = Settings(parsed);
    var plan = new Runner(Chosen(parsed), folder, contextOf).Plan();
    foreach (var (_, run, _, finished) in plan)
    {
        Console.WriteLine($"{(finished ? "done " : "     ")}{run.Priority} {run.Key}");
    }

    Console.WriteLine($"{plan.Count(wanted => wanted.Finished)} of {plan.Count} runs are done; choices may add more");
    return Task.FromResult(0);
}
