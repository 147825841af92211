using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// How far what is attached moves the hidden states of rows, by site and position: ‖Δ‖ / ‖h‖ shows which layers and
    /// positions do the work. It costs a forward pass up to the last edited layer.
    /// </summary>
    /// <param name="data">The rows, as for training.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <exception cref="InvalidOperationException">Nothing is attached.</exception>
    /// <exception cref="ArgumentException">There is no row.</exception>
    /// <exception cref="InvalidDataException">A row is not of a form to train on: the message names it and its field.</exception>
    public IReadOnlyList<EditMeasurement> MeasureEdits(TrainingData data, int batchSize = 8)
    {
        CheckBatchSize(batchSize);
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        NeedAttached();
        (Core.Example Example, int Row)[] rows =
        [
            .. data.Rows.Select((row, i) => (Core.ExampleModule.truncate(Config.ContextLength, _encoder.Encode(RowUse.Train, row, i)), i)),
        ];
        if (rows.Length == 0)
        {
            throw new ArgumentException("expected at least one row to measure, found none", nameof(data));
        }

        var tuned = new SourceRuns(data.Sources).Give(ReadTuned(), Model.Device, rows);
        return new EditProbe(tuned, [.. rows.Select(row => row.Example)], batchSize).Measure(ReadParameters());
    }
}
