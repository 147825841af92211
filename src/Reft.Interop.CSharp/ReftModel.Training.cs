using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Trains what is attached, from the parameters it has, on a thread of its own. Nothing else may use the model
    /// meanwhile.
    /// </summary>
    /// <param name="data">The rows; those without a scored token are counted and left out.</param>
    /// <param name="options">How to train.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">
    /// Ends the run before its next step. That is no error: the model keeps the parameters of the last step, or the best where
    /// <see cref="TrainingOptions.BestModel"/> asks for them, and the result says <see cref="TrainingResult.Cancelled"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">
    /// Nothing is attached, the model is in use, or edits meet in a short prompt; several adapters are attached (<see cref="LoadAdapters"/>),
    /// or edits are scaled (<see cref="ScaleEdits"/>); or the model predicts no next token, as an encoder: see
    /// <see cref="FitClassifierAsync"/>.
    /// </exception>
    /// <exception cref="ArgumentException">An option is out of range, or there is no row to learn from.</exception>
    /// <exception cref="InvalidDataException">
    /// A row is not of a form to train on: the message names it and its field. Or the checkpoints are of another run, or damaged.
    /// </exception>
    /// <exception cref="IOException">A checkpoint cannot be written, or would replace a run that was broken off.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitAsync(
        TrainingData data,
        TrainingOptions? options = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new TrainingOptions();
        Core.TransformerModule.causalHead(Model);
        return RunFit(
            options,
            () =>
            {
                NeedAttached();
                var tuned = Tuned();
                return PlanOfAttached(() => Prepare(options, tuned, steps => TrainingSet.OfLanguage(steps, _encoder, options, data)));
            },
            progress,
            cancellationToken);
    }

    /// <summary>The mean loss per scored token, with what is attached. Rows are those of training, EOS included.</summary>
    /// <param name="data">The rows; those without a scored token are left out.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <param name="maxLength">Longer rows are cut as in training; the model's context where it is not given.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">Several adapters are attached (<see cref="LoadAdapters"/>), or the model predicts no next token.</exception>
    /// <exception cref="ArgumentException">No token is scored.</exception>
    /// <exception cref="InvalidDataException">A row is not of a form to train on: the message names it and its field.</exception>
    public double Evaluate(
        TrainingData data, int batchSize = 8, int? maxLength = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength ?? 2, 2);
        Core.TransformerModule.causalHead(Model);
        using var work = _gate.Read();
        var examples = data.Rows
            .Select((row, i) => (Core.ExampleModule.truncate(
                maxLength ?? Config.ContextLength, _encoder.Encode(RowUse.Train, row, i)), i))
            .Where(pair => pair.Item1.ScoredCount > 0);
        return MeanLoss(data.Rows is IStreamedRows ? examples : examples.ToArray(), batchSize, new SourceRuns(data.Sources), cancellationToken);
    }

    private double MeanLoss(
        IEnumerable<(Core.Example Example, int Row)> examples, int batchSize, SourceRuns sources, CancellationToken cancellationToken)
    {
        using var scope = torch.NewDisposeScope();
        var batches = examples.Chunk(batchSize).Select(chunk =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            return Core.BatchModule.create(Core.PaddingSide.Right, chunk.Select(pair => pair.Example).ToFSharpList());
        });
        var reading = sources.Give(ReadTuned(), Model.Device, examples);
        return Core.Trainer.evaluate(
            Core.LossModule.language(reading), ReadParameters(), batches);
    }
}
