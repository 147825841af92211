namespace Reft;

/// <summary>Where the training of a method starts.</summary>
public enum InterventionStart
{
    /// <summary>As pyreft draws its parameters: the first step already finds an edited model.</summary>
    Pyreft,

    /// <summary>
    /// Δ = 0: the first step finds the base model. A method that cannot start so refuses; gate it with
    /// <c>Interventions.ScalarGate()</c>, which starts at 0.
    /// </summary>
    Identity,
}
