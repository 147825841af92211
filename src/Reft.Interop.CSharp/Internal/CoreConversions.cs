namespace Reft.Internal;

/// <summary>Between the facade's enumerations and Core's unions.</summary>
internal static class CoreConversions
{
    public static Core.Phase ToCore(this InterventionPhase phase) =>
        phase switch
        {
            InterventionPhase.Prompt => Core.Phase.Prompt,
            InterventionPhase.Decode => Core.Phase.Decode,
            _ => Core.Phase.Always,
        };

    public static InterventionPhase ToFacade(this Core.Phase phase) =>
        phase.IsPrompt ? InterventionPhase.Prompt
        : phase.IsDecode ? InterventionPhase.Decode
        : InterventionPhase.Always;

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
}
