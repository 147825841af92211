using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Reft.Cli;

/// <summary>The options of <c>reft train</c> that say how a run goes: schedule, steps, evaluation, stopping, checkpoints.</summary>
internal static class TrainingFlags
{
    private const string CheckpointFolder = "checkpoints";
    private static readonly TrainingOptions Preset = new();

    private static readonly Option<LearningRateSchedule> Schedule = Values.Option(
        "--schedule",
        "linear|cosine|constant|polynomial[:POWER]",
        "How the learning rate goes after its warmup.",
        LearningRateSchedule.Linear,
        ReadSchedule);

    private static readonly Option<int?> WarmupSteps = Values.Optional(
        "--warmup-steps", "N", "The steps in which the learning rate rises, in place of --warmup-ratio.", Values.IntegerFrom(0));

    private static readonly Option<int> Accumulate = Values.Option(
        "--accumulate", "N", "Batches whose gradients make one step.", Preset.GradientAccumulation, Values.IntegerFrom(1));

    private static readonly Option<string?> Weighting = Choice(
        "--accumulation-weighting",
        "tokens|equal",
        "What each of them weighs: its scored tokens, as in one large batch, where it is not given; or the same, as in pyreft.");

    private static readonly Option<string?> Clip = Checked(
        "--clip",
        "X|none",
        "Gradients with a larger norm are scaled down to it.",
        text => ReadClip(text),
        Preset.MaxGradientNorm?.ToString(CultureInfo.InvariantCulture));

    private static readonly Option<string?> Dropout = Checked(
        "--dropout",
        "X[:output]",
        "The share of the numbers of each change that training drops; with :output, of the edited state, as pyreft does.",
        text => ReadDropout(text));

    private static readonly Option<int?> MaxSteps = Values.Optional(
        "--max-steps", "N", "The steps of the run, in place of --epochs.", Values.IntegerFrom(1));

    private static readonly Option<int?> MaxExamples = Values.Optional(
        "--max-examples", "N", "Train on the first N rows alone.", Values.IntegerFrom(1));

    private static readonly Option<bool> NoShuffle = Values.Flag("--no-shuffle", "Keep the rows in their order in every epoch.");

    private static readonly Option<string?> OnNan = Checked(
        "--on-nan",
        "stop|skip:N",
        "What a loss or gradient that is not finite leads to: the end of the run, or a step that changes nothing, at most N times in a row.",
        text => ReadSkips(text), "stop");

    private static readonly Option<string?> EvalEvery = Checked(
        "--eval-every",
        "N[steps|epochs]",
        "How often the held-out rows are measured, besides at the end; a bare N is steps. Every epoch where it is not given.",
        text => ReadInterval(text));

    private static readonly Option<string?> Best = Checked(
        "--best",
        "METRIC[:min|max]",
        "Save the parameters with the best held-out loss (min), accuracy, f1, matthews, pearson or spearman (max), in place of the last ones.",
        text => ReadBest(text, null));

    private static readonly Option<int?> EarlyStopping = Values.Optional(
        "--early-stopping",
        "PATIENCE",
        "Stop after so many evaluations without a better one, and save the best; by the loss where --best names no other metric.",
        Values.IntegerFrom(1));

    private static readonly Option<int?> CheckpointEvery = Values.Optional(
        "--checkpoint-every",
        "N",
        "Save the run in OUTPUT/checkpoints every N steps, at its end and when it is stopped, so that --resume can go on with it.",
        Values.IntegerFrom(1));

    private static readonly Option<int> KeepCheckpoints = Values.Option(
        "--keep-checkpoints", "N", "How many of them stay.", new TrainingCheckpoints("").Keep, Values.IntegerFrom(1));

    private static readonly Option<bool> Resume = Values.Flag(
        "--resume", "Go on with the run that OUTPUT/checkpoints holds, or start afresh where it holds none. Saves every 100 steps where --checkpoint-every is not given.");

    /// <summary>All of them, in the order in which help shows them.</summary>
    public static IEnumerable<Option> All =>
    [
        Schedule, WarmupSteps, Accumulate, Weighting, Clip, Dropout, MaxSteps, MaxExamples, NoShuffle, OnNan,
        EvalEvery, Best, EarlyStopping, CheckpointEvery, KeepCheckpoints, Resume,
    ];

    /// <summary>Those that runs which are compared have not in common: a method's own, and how a run is gone on with.</summary>
    public static IEnumerable<Option> Own => [Dropout, CheckpointEvery, KeepCheckpoints, Resume];

    /// <summary>Whether interventions are asked to drop numbers.</summary>
    public static bool HasDropout(ParseResult parsed) => parsed.GetValue(Dropout) is not null;

    /// <summary>Complains about options that need another one.</summary>
    public static void Check(CommandResult result, bool heldOut)
    {
        foreach (var option in new Option[] { EvalEvery, Best, EarlyStopping })
        {
            if (!heldOut && result.GetResult(option) is { Implicit: false })
            {
                result.AddError($"{option.Name} needs --eval-data: rows that are held out.");
            }
        }
    }

    /// <summary>An intervention with the dropout that they ask for.</summary>
    public static ReftIntervention Drop(ParseResult parsed, ReftIntervention intervention) =>
        parsed.GetValue(Dropout) is not { } text ? intervention
        : ReadDropout(text) is (var rate, true) ? intervention.DropoutOutput(rate)
        : intervention.Dropout(ReadDropout(text).Rate);

    /// <summary>The options of a run with what they say.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="options">What is known already.</param>
    /// <param name="output">The folder of the adapter.</param>
    public static TrainingOptions Apply(ParseResult parsed, TrainingOptions options, string output)
    {
        var interval = parsed.GetValue(EvalEvery) is { } every ? ReadInterval(every) : ((int Number, bool Epochs)?)null;
        var best = parsed.GetValue(Best);
        var patience = parsed.GetValue(EarlyStopping);
        return options with
        {
            Schedule = parsed.GetRequiredValue(Schedule),
            WarmupSteps = parsed.GetValue(WarmupSteps),
            GradientAccumulation = parsed.GetValue(Accumulate),
            AccumulationWeighting =
                parsed.GetValue(Weighting) == "equal" ? AccumulationWeighting.Equal : AccumulationWeighting.ByTokens,
            MaxGradientNorm = ReadClip(parsed.GetValue(Clip) ?? "none"),
            MaxSteps = parsed.GetValue(MaxSteps),
            MaxExamples = parsed.GetValue(MaxExamples),
            Shuffle = !parsed.GetValue(NoShuffle),
            SkipNonFiniteSteps = ReadSkips(parsed.GetValue(OnNan) ?? "stop"),
            EvaluateEvery = interval is { Epochs: false, Number: var steps } ? steps : null,
            EvaluateEveryEpochs = interval is { Epochs: true, Number: var epochs } ? epochs : null,
            BestModel = best is null && patience is null ? null : ReadBest(best ?? "loss", patience),
            Checkpoints = Checkpoints(parsed, output),
        };
    }

    private static TrainingCheckpoints? Checkpoints(ParseResult parsed, string output)
    {
        var every = parsed.GetValue(CheckpointEvery);
        var resume = parsed.GetValue(Resume);
        var preset = new TrainingCheckpoints(Path.Combine(output, CheckpointFolder));
        // A folder that has checkpoints goes on having them: a run that was broken off is protected, and none is left stale.
        if (every is null && !resume && !(Directory.Exists(preset.Folder) && Directory.EnumerateFiles(preset.Folder).Any()))
        {
            return null;
        }

        return preset with
        {
            Every = every ?? preset.Every,
            Keep = parsed.GetValue(KeepCheckpoints),
            Resume = resume,
            Resumed = Say,
        };
    }

    private static void Say(TrainingResumption from)
    {
        Terminal.Say(
            from.Ended
                ? (FormattableString)$"the run is complete, after step {from.Step} of {from.TotalSteps}: {from.Path}"
                : $"resuming after step {from.Step} of {from.TotalSteps}: {from.Path}");
        foreach (var warning in from.Warnings)
        {
            Terminal.Say($"warning: {warning}");
        }
    }

    private static LearningRateSchedule ReadSchedule(string text) =>
        text switch
        {
            "linear" => LearningRateSchedule.Linear,
            "cosine" => LearningRateSchedule.Cosine,
            "constant" => LearningRateSchedule.Constant,
            "polynomial" => LearningRateSchedule.Polynomial(1),
            _ when text.StartsWith("polynomial:", StringComparison.Ordinal) =>
                LearningRateSchedule.Polynomial(Values.Number("a power > 0 and ≤ 100", x => x is > 0 and <= 100)(text["polynomial:".Length..])),
            _ => throw new ArgumentException($"expected linear, cosine, constant or polynomial[:POWER], found '{text}'"),
        };

    private static double? ReadClip(string text) =>
        text == "none" ? null : Values.Number("a number > 0 or none", x => x > 0)(text);

    private static (double Rate, bool Output) ReadDropout(string text)
    {
        const string Output = ":output";
        var output = text.EndsWith(Output, StringComparison.Ordinal);
        return (Values.Number("a number of 0 … 1, without 1", x => x is >= 0 and < 1)(output ? text[..^Output.Length] : text), output);
    }

    private static int ReadSkips(string text) =>
        text == "stop" ? 0
        : text.StartsWith("skip:", StringComparison.Ordinal) ? Values.IntegerFrom(1)(text["skip:".Length..])
        : throw new ArgumentException($"expected stop or skip:N, found '{text}'");

    private static (int Number, bool Epochs) ReadInterval(string text) =>
        text.EndsWith("epochs", StringComparison.Ordinal)
            ? (Values.IntegerFrom(1)(text[..^"epochs".Length]), true)
            : (Values.IntegerFrom(1)(text.EndsWith("steps", StringComparison.Ordinal) ? text[..^"steps".Length] : text), false);

    private static BestModel ReadBest(string text, int? patience)
    {
        var (metric, greater) = text.Split(':') switch
        {
            [var name] => (name, (bool?)null),
            [var name, "min"] => (name, false),
            [var name, "max"] => (name, true),
            _ => throw new ArgumentException($"expected METRIC, METRIC:min or METRIC:max, found '{text}'"),
        };
        return new BestModel { Metric = metric, GreaterIsBetter = greater, Patience = patience };
    }

    // What is read again where it is used, so that a wrong one is an error of the command line.
    private static Option<string?> Checked(
        string name, string help, string description, Action<string> check, string? preset = null)
    {
        var option = Values.Text(name, help, description);
        option.CustomParser = result => Values.Read(result, text =>
        {
            check(text);
            return text;
        });
        if (preset is not null)
        {
            option.DefaultValueFactory = _ => preset;
        }

        return option;
    }

    private static Option<string?> Choice(string name, string choices, string description)
    {
        var option = Values.Text(name, choices, description);
        option.AcceptOnlyFromAmong(choices.Split('|'));
        return option;
    }
}
