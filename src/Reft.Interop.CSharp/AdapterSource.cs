namespace Reft;

/// <summary>An adapter to attach together with others: see <see cref="ReftModel.LoadAdapters"/>.</summary>
/// <param name="Folder">Where it was saved.</param>
public sealed record AdapterSource(string Folder)
{
    /// <summary>What the changes of its interventions are multiplied by: 1 as trained, 0 none, −1 negated. A tuning of the model itself is not scaled.</summary>
    public double Scale { get; init; } = 1;
}
