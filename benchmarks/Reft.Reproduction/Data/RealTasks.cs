namespace Reft.Reproduction;

/// <summary>The tasks on data that nobody of this project wrote.</summary>
internal static class RealTasks
{
    /// <summary>Their names.</summary>
    public static IReadOnlyList<string> Names { get; } = ["spam", "union-era", "opinion-words"];

    /// <summary>Reads and divides a task; that no text stands on two sides is checked each time.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="packages">The folder given to <c>npm install --prefix</c>.</param>
    /// <param name="maxTrain">The most rows to train on; null is all.</param>
    /// <param name="maxTest">The most rows of the development and of the test part; null is all.</param>
    /// <exception cref="ArgumentException">There is no such task.</exception>
    /// <exception cref="DirectoryNotFoundException">The package is not installed there.</exception>
    public static RealTask Load(string name, string packages, int? maxTrain, int? maxTest) => name switch
    {
        "spam" => Splitting.Split(name, SpamMail.Labels, SpamMail.Read(packages), maxTrain, maxTest),
        "union-era" => Splitting.Split(name, UnionEras.Labels, UnionEras.Read(packages), maxTrain, maxTest),
        "opinion-words" => Splitting.Split(name, OpinionWords.Labels, OpinionWords.Read(packages), maxTrain, maxTest),
        _ => throw new ArgumentException($"there is no task '{name}'; there are {string.Join(", ", Names)}", nameof(name)),
    };

    /// <summary>What <c>data</c> prints: the sizes of each task's parts by label, and how lists of words agree.</summary>
    public static IEnumerable<string> Describe(string packages)
    {
        foreach (string name in Names)
        {
            RealTask task = Load(name, packages, null, null);
            yield return $"{name}: {task.Train.Count} to train on, {task.Development.Count} for development, {task.Test.Count} to test on";
            foreach (string label in task.Labels)
            {
                yield return $"  {label}: {Of(task.Train, label)}, {Of(task.Development, label)}, {Of(task.Test, label)}";
            }
        }

        yield return OpinionWords.Agreement(packages);
        yield return MobyDick.Describe(packages);

        static int Of(IReadOnlyList<LabelledRow> rows, string label) => rows.Count(row => row.Label == label);
    }
}
