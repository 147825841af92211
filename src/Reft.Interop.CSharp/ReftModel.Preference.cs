using Reft.Internal;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Trains what is attached to prefer one completion to another, from the parameters it has, on a thread of its own. What it is
    /// measured against is this model without what is attached: no second model is needed.
    /// </summary>
    /// <param name="data">The pairs; those whose completions are equal or have no token are counted and left out.</param>
    /// <param name="preference">How the preference is learnt; DPO with β = 0.1 where it is not given.</param>
    /// <param name="options">How to train. A batch of n pairs has 2n rows. Its rows for evaluation are those of a language model: give pairs apart.</param>
    /// <param name="evaluation">Pairs that are only evaluated.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">
    /// Ends the run before its next step. That is no error: the model keeps the parameters of the last step, and the
    /// result says <see cref="TrainingResult.Cancelled"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">Nothing is attached, the model is in use, or it predicts no next token.</exception>
    /// <exception cref="ArgumentException">An option is out of range or belongs to another method, or there is no pair to learn from.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names it and its field.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitPreferenceAsync(
        PreferenceData data,
        PreferenceOptions? preference = null,
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
                var loss = PreferenceLoss.Of(preference ?? new PreferenceOptions(), Tuned());
                return PlanOfAttached(
                    () => PairSet.ToTrain(_encoder, LengthOf(options), whole: false, options, data, evaluation, loss));
            },
            progress,
            cancellationToken);
    }

    /// <summary>How well completions are told apart, with what is attached.</summary>
    /// <param name="data">The pairs; those whose completions are equal or have no token are counted and left out.</param>
    /// <param name="preference">How it was learnt; DPO with β = 0.1 where it is not given.</param>
    /// <param name="batchSize">Pairs that are computed together.</param>
    /// <param name="maxLength">Longer rows are cut as in training; the model's context where it is not given.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">Nothing is attached, or the model predicts no next token.</exception>
    /// <exception cref="ArgumentException">An option is out of range or belongs to another method, or there is no pair.</exception>
    /// <exception cref="InvalidDataException">A row is not of the form: the message names it and its field.</exception>
    public PreferenceEvaluation EvaluatePreference(
        PreferenceData data,
        PreferenceOptions? preference = null,
        int batchSize = 8,
        int? maxLength = null,
        CancellationToken cancellationToken = default)
    {
        CheckBatchSize(batchSize);
        Core.TransformerModule.causalHead(Model);
        using var work = _gate.Read();
        NeedAttached();
        var loss = PreferenceLoss.Of(preference ?? new PreferenceOptions(), ReadTuned());
        return PairSet.Of(_encoder, maxLength ?? Config.ContextLength, whole: false, data.Rows)
            .Evaluate(loss, ReadParameters(), batchSize, cancellationToken);
    }

    private static void NoLanguageRows(TrainingOptions options)
    {
        if (options.EvaluationData is not null)
        {
            throw new ArgumentException("EvaluationData holds rows of a language model: give pairs as 'evaluation'", nameof(options));
        }
    }
}
