namespace Reft.Internal;

/// <summary>Between the facade's enumerations and Core's unions.</summary>
internal static class CoreConversions
{
    public static Core.Tying ToCore(this ParameterTying tying) =>
        tying switch
        {
            ParameterTying.Tied => Core.Tying.Tied,
            ParameterTying.Groups => Core.Tying.Groups,
            _ => Core.Tying.EachPosition,
        };

    public static ParameterTying ToFacade(this Core.Tying tying) =>
        tying.IsTied ? ParameterTying.Tied
        : tying.IsGroups ? ParameterTying.Groups
        : ParameterTying.EachPosition;

    public static Core.SequenceProblem ToCore(this ClassifierProblem problem) =>
        problem switch
        {
            ClassifierProblem.SingleLabel => Core.SequenceProblem.SingleLabel,
            ClassifierProblem.MultiLabel => Core.SequenceProblem.MultiLabel,
            _ => Core.SequenceProblem.Regression,
        };

    public static ClassifierProblem ToFacade(this Core.SequenceProblem problem) =>
        problem.IsSingleLabel ? ClassifierProblem.SingleLabel
        : problem.IsMultiLabel ? ClassifierProblem.MultiLabel
        : ClassifierProblem.Regression;

    public static Core.HeadTraining ToCore(this ClassifierTraining training) =>
        training switch
        {
            ClassifierTraining.Frozen => Core.HeadTraining.Frozen,
            ClassifierTraining.Classifier => Core.HeadTraining.Classifier,
            _ => Core.HeadTraining.Whole,
        };

    public static Core.Role ToCore(this ParameterRole role) =>
        role switch
        {
            ParameterRole.Decayed => Core.Role.Decayed,
            ParameterRole.Undecayed => Core.Role.Undecayed,
            _ => Core.Role.Constant,
        };
}
