namespace Reft.Reproduction;

/// <summary>A question that runs answer: which runs, how each is done, and what is made of their results.</summary>
internal interface IStudy
{
    /// <summary>Its name on the command line and in keys.</summary>
    string Name { get; }

    /// <summary>To be changed whenever its runs would give other results for the same key: they are then run again.</summary>
    string Version { get; }

    /// <summary>
    /// The runs that are wanted, of a scope, as far as they are known. It is asked again after every run, so that a choice
    /// may follow from finished ones (<see cref="StudyContext.Runs"/>): a pure function of its argument, and quick.
    /// </summary>
    IEnumerable<PlannedRun> Plan(StudyContext context);

    /// <summary>Does one run, in a process of its own.</summary>
    Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop);

    /// <summary>Writes tables and pictures from the runs that are there; a cell without one says <see cref="ReportPage.NotRun"/>.</summary>
    void Report(ReportPage page, StudyContext context);
}
