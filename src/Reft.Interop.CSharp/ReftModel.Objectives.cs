using Reft.Internal;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>Trains what is attached by an objective of your own, as <see cref="FitAsync(TrainingData, TrainingOptions?, IProgress{TrainingProgress}?, CancellationToken)"/> does.</summary>
    /// <param name="data">The rows; those without a scored token are counted and left out.</param>
    /// <param name="objective">What is minimised, on rows for evaluation too.</param>
    /// <param name="options">How to train.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Ends the run before its next step; that is no error.</param>
    /// <exception cref="InvalidOperationException">
    /// Nothing is attached, the model is in use or predicts no next token; or the objective gives no scalar, or one without a gradient.
    /// </exception>
    /// <exception cref="ArgumentException">An option is out of range, or there is no row to learn from.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names it and its field.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitAsync(
        TrainingData data,
        TrainingObjective objective,
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
                var attached = Tuned();
                return PlanOfAttached(() => TrainingSet.OfLanguage(
                    attached, _loaded.Model, _encoder, options, data, (_, tuned) => MeasuredLoss.Alone(objective.Name, objective.Loss(tuned))));
            },
            progress,
            cancellationToken);
    }

    /// <summary>Trains what is attached on pairs by an objective of your own: see <see cref="ObjectiveBatch.Pairs"/>.</summary>
    /// <param name="data">The pairs; those whose completions are equal or have no token are counted and left out.</param>
    /// <param name="objective">What is minimised, on pairs for evaluation too.</param>
    /// <param name="options">How to train. Its rows for evaluation are those of a language model: give pairs apart.</param>
    /// <param name="evaluation">Pairs that are only evaluated.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Ends the run before its next step; that is no error.</param>
    /// <exception cref="InvalidOperationException">
    /// Nothing is attached, the model is in use or predicts no next token; or the objective gives no scalar, or one without a gradient.
    /// </exception>
    /// <exception cref="ArgumentException">An option is out of range, or there is no pair to learn from.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names it and its field.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitAsync(
        PreferenceData data,
        TrainingObjective objective,
        TrainingOptions? options = null,
        PreferenceData? evaluation = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new TrainingOptions();
        NoLanguageRows(options);
        Core.TransformerModule.causalHead(Model);
        return RunFit(
            options,
            () =>
            {
                NeedAttached();
                var loss = MeasuredLoss.Alone(objective.Name, objective.Loss(Tuned()));
                return PlanOfAttached(
                    () => PairSet.ToTrain(_encoder, LengthOf(options), whole: false, options, data, evaluation, loss));
            },
            progress,
            cancellationToken);
    }
}
