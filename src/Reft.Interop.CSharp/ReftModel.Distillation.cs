using System.Security.Cryptography;
using System.Text;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Trains what is attached to predict what a teacher predicts at the scored tokens, from the parameters it has, on a thread of
    /// its own. Both must have the same tokens.
    /// </summary>
    /// <param name="data">The rows; those without a scored token are counted and left out.</param>
    /// <param name="teacher">
    /// Another model, or the same folder with another adapter. This model itself stands for what it is without what is attached,
    /// which is a teacher where it reads other prompts: see <see cref="DistillationOptions.TeacherPrompt"/>.
    /// </param>
    /// <param name="distillation">How the teacher is followed.</param>
    /// <param name="options">How to train.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">
    /// Ends the run before its next step. That is no error: the model keeps the parameters of the last step, and the
    /// result says <see cref="TrainingResult.Cancelled"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">Nothing is attached, a model is in use, or one of them predicts no next token.</exception>
    /// <exception cref="ArgumentException">An option is out of range, there is no row to learn from, or the teacher has another vocabulary.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names it and its field.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public async Task<TrainingResult> FitDistillationAsync(
        TrainingData data,
        ReftModel teacher,
        DistillationOptions? distillation = null,
        TrainingOptions? options = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new TrainingOptions();
        var how = distillation ?? new DistillationOptions();
        Core.TransformerModule.causalHead(Model);
        using var teaching = ReferenceEquals(teacher, this) ? null : teacher._gate.Read();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(
            cancellationToken, ReferenceEquals(teacher, this) ? default : teacher._gate.Closing);
        return await RunFit(
            options,
            () =>
            {
                NeedAttached();
                var followed = Follow(teacher, how);
                var attached = Tuned();
                return PlanOfAttached(() => Prepare(
                    options,
                    attached,
                    steps => TrainingSet.OfLanguage(
                        steps,
                        _encoder,
                        options,
                        data,
                        (rows, tuned) => followed.Loss(rows, tuned, _encoder, LengthOf(options), options.RecomputeEvery))));
            },
            progress,
            stop.Token).ConfigureAwait(false);
    }

    /// <summary>How near this model is to a teacher, with what is attached.</summary>
    /// <param name="data">The rows; those without a scored token are left out.</param>
    /// <param name="teacher">The teacher, as in training.</param>
    /// <param name="distillation">How it was followed.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <param name="maxLength">Longer rows are cut as in training; the model's context where it is not given.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">One of the models predicts no next token.</exception>
    /// <exception cref="ArgumentException">An option is out of range, no token is scored, or the teacher has another vocabulary.</exception>
    /// <exception cref="InvalidDataException">A row is not of the form: the message names it and its field.</exception>
    public DistillationEvaluation EvaluateDistillation(
        TrainingData data,
        ReftModel teacher,
        DistillationOptions? distillation = null,
        int batchSize = 8,
        int? maxLength = null,
        CancellationToken cancellationToken = default)
    {
        CheckBatchSize(batchSize);
        Core.TransformerModule.causalHead(Model);
        using var work = _gate.Read();
        using var teaching = ReferenceEquals(teacher, this) ? null : teacher._gate.Read();
        using var scope = torch.NewDisposeScope();
        var length = maxLength ?? Config.ContextLength;
        var rows = TrainingSet.Scored(_encoder, length, data.Rows);
        var tuned = new SourceRuns(data.Sources).Give(ReadTuned(), Model.Device, rows);
        var loss = Follow(teacher, distillation ?? new DistillationOptions())
            .Loss([.. rows.Select(row => (row.Example, data.Rows[row.Row], row.Row))], tuned, _encoder, length);
        var metrics = loss.Metrics(
            rows.Chunk(batchSize).Select(chunk =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                return Core.BatchModule.create(Core.PaddingSide.Right, chunk.Select(row => row.Example).ToFSharpList());
            }),
            ReadParameters()).ToDictionary(metric => metric.Item1, metric => metric.Item2);
        return new DistillationEvaluation
        {
            Loss = metrics["loss"],
            Divergence = metrics["kl"],
            LanguageLoss = metrics["language"],
        };
    }

    // What acts on a teacher, where and how strongly, tells runs apart too.
    private string HashOfAttached()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (spec, parameters) in _edits.Select(attached => (attached.ScaledSpec, attached.Parameters))
            .Append(([], _tuned?.Parameters ?? Core.ParametersModule.empty)))
        {
            foreach (var placement in spec)
            {
                hash.AppendData(Encoding.UTF8.GetBytes($"{PlacementDescription.Of(placement)}\n"));
            }

            foreach (var parameter in parameters.Entries)
            {
                using var scope = torch.NewDisposeScope();
                hash.AppendData(Encoding.UTF8.GetBytes(parameter.Name));
                hash.AppendData(parameter.Value.to(torch.float32).cpu().contiguous().bytes);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    private TeacherRuns Follow(ReftModel teacher, DistillationOptions options) =>
        new(
            ReferenceEquals(teacher, this) ? teacher._loaded.Fingerprint : $"{teacher._loaded.Fingerprint}, {teacher.HashOfAttached()}",
            ReferenceEquals(teacher, this)
                ? Core.Distillation.teacher([], _loaded.Model)
                : Core.Distillation.teacher(teacher.Bound(), teacher.Model),
            teacher.Config.ContextLength,
            options);
}
