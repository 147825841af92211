using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary>The options that say what is minimised, where it is not the loss of completions or labels.</summary>
internal static class ObjectiveOptions
{
    private const string Language = "language";
    private const string Reward = "reward";
    private const string Distill = "distill";
    private const string Reps = "reps";
    private const string SimPo = "simpo";
    private const string Dpo = "dpo";
    private const string Ipo = "ipo";

    private static readonly Option<string?> Objective = ObjectiveOption();

    private static readonly Option<double?> Beta = Values.OptionalNumber(
        "--beta", "X", "β of dpo, ipo and simpo: 0.1 where it is not given, and 2 for simpo.", Values.Number("a number > 0", x => x > 0));

    private static readonly Option<double?> LabelSmoothing = Values.OptionalNumber(
        "--label-smoothing", "X", "How often the labels of dpo are taken to be wrong.", Values.Number("a number ≥ 0 and < 0.5", x => x is >= 0 and < 0.5));

    private static readonly Option<double?> Margin = Values.OptionalNumber(
        "--margin", "X", "γ of simpo, by which the preferred reward is to be the greater.", Values.Number("a number ≥ 0", x => x >= 0));

    private static readonly Option<string?> SteeringFactors = Values.Text(
        "--steering-factors", "X,Y,Z", "Factors of the interventions in reps, one of which is drawn for each pair; 1 where they are not given.");

    private static readonly Option<string?> Suppression = SuppressionOption();

    private static readonly Option<double?> Centering = Values.OptionalNumber(
        "--centering", "X", "How strongly reward pulls rewards towards 0; not at all where it is not given.", Values.Number("a number ≥ 0", x => x >= 0));

    private static readonly Option<string?> Teacher = Values.Text(
        "--teacher", "DIR", "The folder of the model that distill follows; that of --model where it is not given.");

    private static readonly Option<string?> TeacherAdapter = Values.Text(
        "--teacher-adapter", "DIR", "An adapter to put on the teacher.");

    private static readonly Option<double?> Temperature = Values.OptionalNumber(
        "--temperature", "X", "By which distill divides the logits of both models; 1 where it is not given.", Values.Number("a number > 0", x => x > 0));

    private static readonly Option<double?> TeacherWeight = Values.OptionalNumber(
        "--teacher-weight", "X", "What the teacher counts in distill, the rows themselves counting the rest; 1 where it is not given.", Values.Number("a number of 0 … 1", x => x is >= 0 and <= 1));

    // What belongs to which objectives.
    private static readonly (Option Option, string[] Objectives)[] Owners =
    [
        (Beta, [Dpo, Ipo, SimPo]),
        (LabelSmoothing, [Dpo]),
        (Margin, [SimPo]),
        (SteeringFactors, [Reps]),
        (Suppression, [Reps]),
        (Centering, [Reward]),
        (Teacher, [Distill]),
        (TeacherAdapter, [Distill]),
        (Temperature, [Distill]),
        (TeacherWeight, [Distill]),
    ];

    /// <summary>All of them, in the order in which help shows them.</summary>
    public static IEnumerable<Option> All => [Objective, .. Owners.Select(owner => owner.Option)];

    /// <summary>The rows that a command line names, and what is learnt of them.</summary>
    /// <exception cref="ArgumentException">Options that do not belong together.</exception>
    public static TrainingTask Read(ParseResult parsed, string data, string? heldOut, long seed, ModelChoice model)
    {
        var objective = parsed.GetValue(Objective) ?? Language;
        foreach (var (option, objectives) in Owners)
        {
            if (parsed.GetResult(option) is { Implicit: false } && !objectives.Contains(objective))
            {
                throw new ArgumentException($"{option.Name} belongs to --objective {string.Join(" or ", objectives)}, found {objective}");
            }
        }

        if (objective == Language)
        {
            return TaskOptions.Read(parsed, data, heldOut, seed);
        }

        foreach (var option in new Option[] { TaskOptions.Task, TaskOptions.Labels, TaskOptions.Head })
        {
            if (parsed.GetResult(option) is { Implicit: false })
            {
                throw new ArgumentException($"{option.Name} belongs to --objective {Language}, found {objective}");
            }
        }

        if (objective == Distill)
        {
            return DistillationOf(parsed, data, heldOut, model);
        }

        var rows = RowOptions.Read(parsed);
        var pairs = PreferenceData.FromFile(data, rows);
        var held = heldOut is null ? null : PreferenceData.FromFile(heldOut, rows);
        return objective == Reward
            ? new RewardTask(pairs, held, new RewardOptions { Centering = parsed.GetValue(Centering) ?? 0 }, seed)
            : new PreferenceTask(pairs, held, PreferenceOf(parsed, objective));
    }

    private static PreferenceOptions PreferenceOf(ParseResult parsed, string objective) =>
        new()
        {
            Method = objective switch
            {
                Ipo => PreferenceMethod.Ipo,
                SimPo => PreferenceMethod.SimPo,
                Reps => PreferenceMethod.Reps,
                _ => PreferenceMethod.Dpo,
            },
            Beta = parsed.GetValue(Beta),
            LabelSmoothing = parsed.GetValue(LabelSmoothing) ?? 0,
            Margin = parsed.GetValue(Margin) ?? 0,
            SteeringFactors = parsed.GetValue(SteeringFactors) is { } factors ? [.. factors.Split(',').Select(Factor)] : [],
            Suppression = parsed.GetValue(Suppression) == "nulled" ? SteeringSuppression.NulledOut : SteeringSuppression.Negated,
        };

    private static double Factor(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var factor) && double.IsFinite(factor) && factor > 0
            ? factor
            : throw new ArgumentException($"--steering-factors: expected numbers > 0, found '{text}'");

    private static DistillationTask DistillationOf(ParseResult parsed, string data, string? heldOut, ModelChoice model)
    {
        if (parsed.GetValue(Teacher) is null && parsed.GetValue(TeacherAdapter) is null)
        {
            throw new ArgumentException("--objective distill: expected --teacher, --teacher-adapter or both, found neither");
        }

        var rows = RowOptions.Read(parsed);
        return new DistillationTask(
            TrainingData.FromFile(data, rows),
            heldOut is null ? null : TrainingData.FromFile(heldOut, rows),
            new DistillationOptions
            {
                Temperature = parsed.GetValue(Temperature) ?? 1,
                Weight = parsed.GetValue(TeacherWeight) ?? 1,
            },
            own => LoadTeacher(
                parsed.GetValue(Teacher) ?? own, parsed.GetValue(TeacherAdapter), model.Options(parsed) with { LoraAdapter = null, MergeLora = false }));
    }

    private static ReftModel LoadTeacher(string folder, string? adapter, ModelOptions options)
    {
        var teacher = ReftModel.Load(folder, options with { LoadTokenizer = false });
        try
        {
            return adapter is null ? teacher : teacher.LoadAdapter(adapter);
        }
        catch
        {
            teacher.Dispose();
            throw;
        }
    }

    private static Option<string?> ObjectiveOption()
    {
        string[] objectives = [Language, Dpo, Ipo, SimPo, Reps, Reward, Distill];
        var option = Values.Text(
            "--objective",
            string.Join('|', objectives),
            """What is minimised: the loss of --task; a preference, of rows {"prompt": …, "chosen": …, "rejected": …}; a reward, of such rows; or the distance to a teacher's probabilities.""");
        option.DefaultValueFactory = _ => Language;
        option.AcceptOnlyFromAmong(objectives);
        return option;
    }

    private static Option<string?> SuppressionOption()
    {
        var option = Values.Text(
            "--suppression", "negated|nulled", "What holds back in reps: the negated interventions, or their direction taken out; negated where it is not given.");
        option.AcceptOnlyFromAmong("negated", "nulled");
        return option;
    }
}
