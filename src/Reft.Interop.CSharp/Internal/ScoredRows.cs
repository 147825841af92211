using Microsoft.FSharp.Collections;

namespace Reft.Internal;

/// <summary>Rows that have a scored token, as examples.</summary>
/// <param name="Data">The rows.</param>
/// <param name="Pairs">The examples, with the number of each one's row.</param>
internal sealed record ScoredRows(TrainingData Data, IReadOnlyList<(Core.Example Example, int Row)> Pairs)
{
    /// <summary>The examples.</summary>
    public Core.Example[] Examples => [.. Pairs.Select(pair => pair.Example)];

    /// <summary>How many rows have none.</summary>
    public int Skipped => Data.Count - Pairs.Count;

    /// <summary>The rows of data, cut to a length.</summary>
    public static ScoredRows Of(RowEncoder encoder, int maxLength, TrainingData data) =>
        new(
            data,
            [
                .. data.Rows
                    .Select((row, i) => (Core.ExampleModule.truncate(maxLength, encoder.Encode(RowUse.Train, row, i)), i))
                    .Where(pair => pair.Item1.ScoredCount > 0),
            ]);

    /// <summary>A model with a spec, which reads the rows' own sources.</summary>
    public Core.Tuned Tune(FSharpList<Core.Placement> spec, Core.Transformer model) =>
        new SourceRuns(Data.Sources).Tune(spec, model, Pairs);
}
