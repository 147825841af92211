using Reft.Internal;

namespace Reft;

/// <summary>The methods of representation finetuning, and your own.</summary>
public static partial class Interventions
{
    /// <summary>No change.</summary>
    public static ReftIntervention Zero { get; } = new(Core.InterventionModule.zero);

    /// <summary>
    /// A method of the library by its name and options as adapters have them, for settings and command lines:
    /// <c>Named("loreft", new Dictionary&lt;string, string&gt; { ["rank"] = "4" })</c>. Methods that hold vectors or weights
    /// have their own members here.
    /// </summary>
    /// <param name="method">Its name, e.g. <c>loreft</c>.</param>
    /// <param name="options">Its options, e.g. <c>rank</c>; those not given are as usual.</param>
    /// <exception cref="ArgumentException">
    /// There is no such method or option, or a value is out of range: the message lists what there is.
    /// </exception>
    public static ReftIntervention Named(string method, IEnumerable<KeyValuePair<string, string>>? options = null) =>
        Forms.Parse(method, options ?? []);
}
