namespace Reft.Internal;

/// <summary>Options → losses of pairs.</summary>
internal static class PreferenceLoss
{
    private const double UsualBeta = 0.1;
    private const double UsualSimPoBeta = 2;

    private static readonly string[] Ranked = ["loss", "accuracy", "margin", "chosen_reward", "rejected_reward"];

    /// <summary>The loss of a preference.</summary>
    /// <exception cref="ArgumentException">An option is out of range, or belongs to another method.</exception>
    public static MeasuredLoss Of(PreferenceOptions options, Core.Tuned tuned)
    {
        Belongs(options.LabelSmoothing == 0, nameof(options.LabelSmoothing), PreferenceMethod.Dpo);
        Belongs(options.Margin == 0, nameof(options.Margin), PreferenceMethod.SimPo);
        Belongs(options.SteeringFactors.Count == 0, nameof(options.SteeringFactors), PreferenceMethod.Reps);
        Belongs(options.Suppression == SteeringSuppression.Negated, nameof(options.Suppression), PreferenceMethod.Reps);
        if (options.Method == PreferenceMethod.Reps)
        {
            if (options.Beta is not null)
            {
                throw new ArgumentException("Reps has no Beta: leave it out", nameof(options));
            }

            var reps = Core.Reps.check(new Core.RepsOptions(
                (options.SteeringFactors.Count == 0 ? [1.0] : options.SteeringFactors).ToFSharpList(),
                options.Suppression == SteeringSuppression.NulledOut ? Core.RepsSuppression.NulledOut : Core.RepsSuppression.Negated));
            return new MeasuredLoss(
                $"RePS, {reps}",
                ["loss", "accuracy", "suppression", "margin"],
                Core.Reps.loss(reps, tuned).ToFunc(), (batches, theta) => Core.Reps.metrics(reps, tuned, batches, theta));
        }

        var core = Core.Preference.check(new Core.PreferenceOptions(
            options.Method switch
            {
                PreferenceMethod.Dpo => Core.PreferenceMethod.NewDpo(options.LabelSmoothing),
                PreferenceMethod.Ipo => Core.PreferenceMethod.Ipo,
                PreferenceMethod.SimPo => Core.PreferenceMethod.NewSimPo(options.Margin),
                _ => throw new ArgumentException($"no known method: {options.Method}", nameof(options)),
            },
            options.Beta ?? (options.Method == PreferenceMethod.SimPo ? UsualSimPoBeta : UsualBeta)));
        return new MeasuredLoss(
            $"preference, {core}",
            Ranked,
            Core.Preference.loss(core, tuned).ToFunc(), (batches, theta) => Core.Preference.metrics(core, tuned, batches, theta));

        void Belongs(bool absent, string name, PreferenceMethod method)
        {
            if (!absent && options.Method != method)
            {
                throw new ArgumentException($"{name} belongs to {method}, and the method is {options.Method}: leave it out", nameof(options));
            }
        }
    }

    /// <summary>The loss of a reward.</summary>
    /// <exception cref="ArgumentException">An option is out of range, or the head is not of one number.</exception>
    public static MeasuredLoss OfReward(RewardOptions options, Core.Classifier classifier, Core.Tuned tuned) =>
        new(
            $"reward, {options}",
            Ranked,
            Core.Reward.loss(options.Centering, classifier, tuned).ToFunc(),
            (batches, theta) => Core.Reward.metrics(options.Centering, classifier, tuned, batches, theta));
}
