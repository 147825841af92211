namespace Reft.Reproduction;

/// <summary>Methods beside each other on classification tasks.</summary>
internal sealed class MethodsStudy : IStudy
{
    public string Name => "methods";

    public string Version => "1";

    public IEnumerable<PlannedRun> Plan(StudyContext context) =>
        [new PlannedRun(RunKey.Of(Name, StudyContext.Base, "none", "none", 1, ("lr", "1")))];

    public Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop) =>
        Task.FromResult(new RunResult { Numbers = new Dictionary<string, double> { ["accuracy"] = key.Number("lr") } });

    public void Report(ReportPage page, StudyContext context)
    {
    }
}
