namespace Reft.Reproduction;

/// <summary>The tables and pictures of the comparison.</summary>
internal sealed class MethodsReport(MethodsStudy study, StudyContext context)
{
    public void Write(ReportPage page)
    {
        _ = (page, study, context);
    }
}
