using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Trains a reward, a head of one number on the last token of prompt and completion, together with what is attached: the loss
    /// is −log σ(r⁺ − r⁻). A model without a head gets one. Positions refer to prompt and completion together.
    /// </summary>
    /// <param name="data">The pairs; those whose completions are equal or have no token are counted and left out.</param>
    /// <param name="reward">How the reward is learnt.</param>
    /// <param name="options">How to train. A batch of n pairs has 2n rows. Its rows for evaluation are those of a language model: give pairs apart.</param>
    /// <param name="evaluation">Pairs that are only evaluated.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">
    /// Ends the run before its next step. That is no error: the model keeps the parameters of the last step, and the
    /// result says <see cref="TrainingResult.Cancelled"/>.
    /// </param>
    /// <exception cref="InvalidOperationException">There is nothing to train, the model is in use, or its head is not of one number.</exception>
    /// <exception cref="ArgumentException">An option is out of range, or there is no pair to learn from.</exception>
    /// <exception cref="InvalidDataException">A row is not one to train on: the message names it and its field.</exception>
    /// <exception cref="DivergenceException">The loss or the gradient is not finite: the model keeps the parameters before that step.</exception>
    public Task<TrainingResult> FitRewardAsync(
        PreferenceData data,
        RewardOptions? reward = null,
        TrainingOptions? options = null,
        PreferenceData? evaluation = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new TrainingOptions();
        NoLanguageRows(options);
        TrainingRun.Check(options, Config.ContextLength);
        NeedTrainable();
        if (_classifier is null)
        {
            AttachClassifier(new ClassifierOptions { Problem = ClassifierProblem.Regression });
        }

        return RunFit(
            options,
            () =>
            {
                var classifier = RewardHead();
                RefuseProbe();
                var theta = Together(classifier);
                if (theta.TrainableCount == 0)
                {
                    throw new InvalidOperationException(
                        "there is nothing to train: attach a spec with Attach, or let the head be trained with UseOwnClassifier or AttachClassifier");
                }

                MeasuredLoss Loss(Core.Tuned tuned) =>
                    PreferenceLoss.OfReward(reward ?? new RewardOptions(), classifier, tuned, options.RecomputeEvery);

                // Its options are refused before the run has a thread.
                var attached = Tuned();
                Loss(attached);
                return new FitPlan(
                    Subject(theta, classifier.Parameters.TrainableCount),
                    () => Prepare(
                        options,
                        attached,
                        steps => PairSet.ToTrain(
                            _encoder, LengthOf(options), whole: true, options, data, evaluation, Loss(steps.Tuned))),
                    reached => Keep(reached, classifier));
            },
            progress,
            cancellationToken);
    }

    /// <summary>How well a reward ranks completions.</summary>
    /// <param name="data">The pairs; those whose completions are equal or have no token are counted and left out.</param>
    /// <param name="batchSize">Pairs that are computed together.</param>
    /// <param name="maxLength">Longer rows are cut as in training; the model's context where it is not given.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidOperationException">The model has no head of one number.</exception>
    /// <exception cref="ArgumentException">There is no pair.</exception>
    /// <exception cref="InvalidDataException">A row is not of the form: the message names it and its field.</exception>
    public PreferenceEvaluation EvaluateReward(
        PreferenceData data, int batchSize = 8, int? maxLength = null, CancellationToken cancellationToken = default)
    {
        CheckBatchSize(batchSize);
        using var work = _gate.Read();
        var classifier = RewardHead();
        var loss = PreferenceLoss.OfReward(new RewardOptions(), classifier, ReadTuned());
        return PairSet.Of(_encoder, maxLength ?? Config.ContextLength, whole: true, data.Rows)
            .Evaluate(loss, Together(classifier), batchSize, cancellationToken);
    }

    /// <summary>The reward of a completion, with the end after it as in training.</summary>
    /// <exception cref="InvalidOperationException">The model has no head of one number.</exception>
    /// <exception cref="InvalidDataException">The model has no tokenizer, or the prompt is empty.</exception>
    public double Reward(string prompt, string completion) =>
        Rewards([new DataRow { Prompt = prompt, Completion = completion }]).Single();

    /// <summary>The rewards of completions, in order and lazily: a batch is computed when its first row is asked for.</summary>
    /// <param name="rows">Rows of a form to train on; the end follows completions as in training. Longer ones are cut to the model's context.</param>
    /// <param name="batchSize">Rows that are computed together.</param>
    /// <exception cref="InvalidOperationException">The model has no head of one number.</exception>
    /// <exception cref="InvalidDataException">A row is not of such a form: the message names it and its field.</exception>
    public IEnumerable<double> Rewards(IEnumerable<DataRow> rows, int batchSize = 8)
    {
        CheckBatchSize(batchSize);
        RewardHead();
        return rows.Chunk(batchSize).SelectMany((chunk, number) => RewardBatch(chunk, number * batchSize));
    }

    private double[] RewardBatch(DataRow[] rows, int first)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        var examples = rows.Select((row, i) => Core.ExampleModule.wholePrompt(
            Core.ExampleModule.truncate(Config.ContextLength, _encoder.Encode(RowUse.Train, row, first + i))));
        var batch = Core.BatchModule.create(Core.PaddingSide.Right, examples.ToFSharpList());
        return [.. Core.Classify.logits(Bound(), RewardHead(), Model, batch).Select(
            (logits, i) => (double)Finite(logits, rows[i].Source ?? $"row {first + i}")[0])];
    }

    private Core.Classifier RewardHead() =>
        NeededClassifier() is { Task: { Problem.IsRegression: true, Labels.Length: 1 } } head
            ? head
            : throw new InvalidOperationException(
                "a reward is one number, and the model's head predicts labels: give it one with AttachClassifier(new ClassifierOptions { Problem = ClassifierProblem.Regression })");

    private Core.Parameters Together(Core.Classifier classifier) =>
        Core.ParametersModule.concat([AttachedParameters(), classifier.Parameters]);
}
