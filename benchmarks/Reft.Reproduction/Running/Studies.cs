namespace Reft.Reproduction;

/// <summary>All studies, in the order in which runs of one priority are done and tables are written.</summary>
internal static class AllStudies
{
    /// <summary>Changed by hand when all results are to be made again: a change of the trainer, say.</summary>
    public const string CodeVersion = "1";

    /// <summary>Changed by hand with what the tasks' rows are made of.</summary>
    public const string DataVersion = "1";

    public static IReadOnlyList<IStudy> All { get; } = [new MethodsStudy(), new MemorisationStudy(), new AblationStudy(), new QuestionsStudy(), new LatencyStudy()];
}
