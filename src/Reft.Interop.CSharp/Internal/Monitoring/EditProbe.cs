using System.Globalization;
using TorchSharp;

namespace Reft.Internal;

/// <summary>Fixed rows on which a run's edits are measured.</summary>
/// <param name="tuned">The model and what is attached to it.</param>
/// <param name="examples">The rows.</param>
/// <param name="batchSize">Rows that are computed together.</param>
internal sealed class EditProbe(Core.Tuned tuned, IReadOnlyList<Core.Example> examples, int batchSize)
{
    private const int MostPositions = 48;

    /// <summary>The first of some rows, where edits are to be measured; else null.</summary>
    public static EditProbe? Of(TrainingOptions options, Core.Tuned tuned, IReadOnlyList<Core.Example> rows) =>
        options.Logging is { EditNormsEvery: not null } logging && !tuned.Spec.IsEmpty
            ? new EditProbe(tuned, [.. rows.Take(logging.EditNormRows)], options.BatchSize)
            : null;

    /// <summary>The mean norms by site and position, in the order of the spec.</summary>
    public IReadOnlyList<EditMeasurement> Measure(Core.Parameters theta)
    {
        if (tuned.Spec.IsEmpty || examples.Count == 0)
        {
            return [];
        }

        var norms = examples
            .Chunk(batchSize)
            .SelectMany(chunk => Core.EditNorms.measure(
                tuned, theta, Core.BatchModule.create(Core.PaddingSide.Right, chunk.ToFSharpList())));
        return [.. norms.GroupBy(norm => norm.Site).SelectMany(OfSite)];
    }

    private static IEnumerable<EditMeasurement> OfSite(IGrouping<Core.Site, Core.EditNorm> site)
    {
        var positions = site.GroupBy(norm => norm.Position).OrderBy(position => Place(position.Key)).ToArray();

        // Every token of long prompts: neighbours together, so that a log of them stays small.
        var width = (positions.Length + MostPositions - 1) / MostPositions;
        return positions.Chunk(width).Select(several =>
        {
            var rows = several.SelectMany(position => position).ToArray();
            var name = several.Length == 1 ? several[0].Key : $"{several[0].Key}…{several[^1].Key}";
            return new EditMeasurement(
                site.Key.ToString(),
                site.Key.Layer,
                name,
                rows.Length,
                rows.Average(norm => norm.Change),
                rows.Average(norm => norm.Hidden),
                rows.Average(norm => norm.Ratio));
        });
    }

    /// <summary>Where a position stands among others: from the prompt's start to its end, then what follows.</summary>
    public static (int Part, int Number) Place(string position)
    {
        var first = position.Split('…')[0];
        var number = first.Length > 1 && int.TryParse(first.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var found) ? found : 0;
        return first.Length == 0 ? (4, 0) : first[0] switch
        {
            'f' => (0, number),
            't' => (1, number),
            'l' => (2, -number),
            _ => (3, number),
        };
    }
}
